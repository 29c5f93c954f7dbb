#include "coordinator/batch_writer.h"

#include <utility>

namespace seedbed {

BatchWriter::BatchWriter(Store* store) : store_(store), thread_([this] { Work(); }) {}

BatchWriter::~BatchWriter() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void BatchWriter::Write(Batch batch, std::function<void(absl::Status)> done) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    batch_ = std::move(batch);
    done_ = std::move(done);
  }
  wake_.notify_all();
}

void BatchWriter::Work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return batch_.has_value() || stopping_; });
    if (!batch_) return;
    const Batch batch = *std::exchange(batch_, std::nullopt);
    const std::function<void(absl::Status)> done = std::exchange(done_, nullptr);
    lock.unlock();
    done(store_->Write(batch));
    lock.lock();
  }
}

}  // namespace seedbed
