#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace seedbed {

// An SQLite VFS for one connection: the system's own, but that the temporary files (of what sorts, groups or joins more
// than fits into memory) hold no more than `most_bytes` together. SQLite has no limit of its own for them, and removes
// their names at once, so that nobody else can look. Belongs to one thread at a time; outlives its connection.
class TemporaryFiles {
 public:
  explicit TemporaryFiles(int64_t most_bytes);
  ~TemporaryFiles();
  TemporaryFiles(const TemporaryFiles&) = delete;
  TemporaryFiles& operator=(const TemporaryFiles&) = delete;

  // For sqlite3_open_v2.
  const std::string& vfs_name() const;
  int64_t most_bytes() const;
  int64_t bytes() const;  // in all of them at present
  // Whether a write was refused (with SQLITE_FULL) since the last call.
  bool TakeRefused();

 private:
  struct Vfs;
  std::unique_ptr<Vfs> vfs_;
};

}  // namespace seedbed
