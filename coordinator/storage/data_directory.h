#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// What lies around results.db in a data directory.
namespace seedbed {

std::string DatabasePath(const std::string& directory);  // DATA/results.db

// Creates `directory` (and its parents) with mode 0700 if it does not exist.
absl::Status EnsureDataDirectory(const std::string& directory);

// DATA/lock, held by flock until destruction; the kernel drops it when the process dies. Whoever changes the database
// holds it.
class DataLock {
 public:
  // FAILED_PRECONDITION, with the holder's process id, if another process has it.
  static absl::StatusOr<std::unique_ptr<DataLock>> Take(const std::string& directory);
  ~DataLock();
  DataLock(const DataLock&) = delete;
  DataLock& operator=(const DataLock&) = delete;

 private:
  explicit DataLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

// The process id that holds DATA/lock; 0 if nobody does (or there is no such directory).
int64_t DataLockHolder(const std::string& directory);

// The name of a file system that is shared over a network ("nfs"), by statfs's f_type; empty for all others.
std::string NetworkFileSystemName(uint64_t type);

// FAILED_PRECONDITION if `directory` lies on a network file system, where SQLite's shared memory does not work.
absl::Status CheckLocalFileSystem(const std::string& directory);

// Bytes that this user may still write on the directory's file system. Below LeastFreeBytes() metrics should wait.
absl::StatusOr<int64_t> FreeBytes(const std::string& directory);
constexpr int64_t LeastFreeBytes() {
  return int64_t{2} << 30;
}

// Size of the write-ahead log's file; 0 if there is none. Beyond MostLogBytes() somebody reads for too long.
int64_t WriteAheadLogBytes(const std::string& database_path);
constexpr int64_t MostLogBytes() {
  return int64_t{1} << 30;
}

// Whether `path`, as the database names a checkpoint's file, lies where a coordinator put it: it is read and removed
// there.
bool IsCheckpointPath(const std::string& path);

}  // namespace seedbed
