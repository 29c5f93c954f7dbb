#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "absl/status/status.h"
#include "coordinator/storage/store.h"

namespace seedbed {

// Writes batches on a thread of its own, so that the next one is decided meanwhile. One at a time: while one is under
// way, nobody else may use the store.
class BatchWriter {
 public:
  // `store` outlives this.
  explicit BatchWriter(Store* store);
  // Waits for the write that is under way; its `done` is called.
  ~BatchWriter();
  BatchWriter(const BatchWriter&) = delete;
  BatchWriter& operator=(const BatchWriter&) = delete;

  // Called only when none is under way. `done` is told of Store::Write's end on the writer's thread, and must be quick.
  void Write(Batch batch, std::function<void(absl::Status)> done);

 private:
  void Work();

  Store* const store_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::optional<Batch> batch_;              // guarded by mutex_, as all below
  std::function<void(absl::Status)> done_;  // of batch_
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace seedbed
