#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace seedbed {

class Database;

// Moves the write-ahead log's pages into the database file, apart from the thread that commits. One instance per
// thread.
class Checkpointer {
 public:
  static absl::StatusOr<Checkpointer> Open(const std::string& database_path);
  Checkpointer(Checkpointer&&) noexcept;
  Checkpointer& operator=(Checkpointer&&) noexcept;
  ~Checkpointer();

  struct Result {
    int64_t log_bytes = 0;   // of the log before this call
    bool truncated = false;  // the log is empty again; otherwise a reader or the writer was in the way
  };
  // PASSIVE, which waits for nobody, then TRUNCATE if that moved every frame. Does nothing where there is no
  // write-ahead log.
  absl::StatusOr<Result> Run();

 private:
  explicit Checkpointer(std::unique_ptr<Database> database);
  std::unique_ptr<Database> database_;
};

}  // namespace seedbed
