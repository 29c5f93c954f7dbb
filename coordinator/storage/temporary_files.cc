#include "coordinator/storage/temporary_files.h"

#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"

namespace seedbed {

struct TemporaryFiles::Vfs : sqlite3_vfs {
  sqlite3_vfs* system = nullptr;
  std::string name;
  int64_t most_bytes = 0;
  int64_t bytes = 0;
  bool refused = false;

  static int Open(sqlite3_vfs* self, const char* path, sqlite3_file* file, int flags, int* opened_flags);
};

namespace {

// SQLite allocates it, with room for the system's own file behind it.
struct File : sqlite3_file {
  int64_t* bytes_of_all;
  int64_t most_bytes;
  bool* refused;
  int64_t size;
};
constexpr size_t kAlignment = alignof(std::max_align_t);
constexpr size_t kSystemFileAt = (sizeof(File) + kAlignment - 1) / kAlignment * kAlignment;

File* Ours(sqlite3_file* file) {
  return static_cast<File*>(file);
}
sqlite3_file* Systems(sqlite3_file* file) {
  return reinterpret_cast<sqlite3_file*>(reinterpret_cast<char*>(file) + kSystemFileAt);
}
void SetSize(File* file, int64_t size) {
  *file->bytes_of_all += size - file->size;
  file->size = size;
}

int Close(sqlite3_file* file) {
  SetSize(Ours(file), 0);
  return Systems(file)->pMethods->xClose(Systems(file));
}
int Read(sqlite3_file* file, void* to, int count, sqlite3_int64 at) {
  return Systems(file)->pMethods->xRead(Systems(file), to, count, at);
}
int Write(sqlite3_file* file, const void* from, int count, sqlite3_int64 at) {
  File* const ours = Ours(file);
  const int64_t size = std::max<int64_t>(ours->size, at + count);
  if (*ours->bytes_of_all + size - ours->size > ours->most_bytes) {
    *ours->refused = true;
    return SQLITE_FULL;
  }
  const int code = Systems(file)->pMethods->xWrite(Systems(file), from, count, at);
  if (code == SQLITE_OK) SetSize(ours, size);
  return code;
}
int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  const int code = Systems(file)->pMethods->xTruncate(Systems(file), size);
  if (code == SQLITE_OK) SetSize(Ours(file), std::min<int64_t>(Ours(file)->size, size));
  return code;
}
int Sync(sqlite3_file* file, int flags) {
  return Systems(file)->pMethods->xSync(Systems(file), flags);
}
int FileSize(sqlite3_file* file, sqlite3_int64* size) {
  return Systems(file)->pMethods->xFileSize(Systems(file), size);
}
int Lock(sqlite3_file* file, int level) {
  return Systems(file)->pMethods->xLock(Systems(file), level);
}
int Unlock(sqlite3_file* file, int level) {
  return Systems(file)->pMethods->xUnlock(Systems(file), level);
}
int CheckReservedLock(sqlite3_file* file, int* held) {
  return Systems(file)->pMethods->xCheckReservedLock(Systems(file), held);
}
int FileControl(sqlite3_file* file, int operation, void* argument) {
  // Would make room beforehand, uncounted; it is only a hint.
  if (operation == SQLITE_FCNTL_SIZE_HINT) return SQLITE_OK;
  return Systems(file)->pMethods->xFileControl(Systems(file), operation, argument);
}
int SectorSize(sqlite3_file* file) {
  return Systems(file)->pMethods->xSectorSize(Systems(file));
}
int DeviceCharacteristics(sqlite3_file* file) {
  return Systems(file)->pMethods->xDeviceCharacteristics(Systems(file));
}

// Version 1: no shared memory, which only write-ahead logs need, and no memory maps, whose writes would not be seen.
constexpr sqlite3_io_methods kMethods = {1,
                                         &Close,
                                         &Read,
                                         &Write,
                                         &Truncate,
                                         &Sync,
                                         &FileSize,
                                         &Lock,
                                         &Unlock,
                                         &CheckReservedLock,
                                         &FileControl,
                                         &SectorSize,
                                         &DeviceCharacteristics,
                                         nullptr,
                                         nullptr,
                                         nullptr,
                                         nullptr,
                                         nullptr,
                                         nullptr};

std::string NewName() {
  static std::atomic<int64_t> count{0};
  return absl::StrCat("seedbed-", ++count);
}

}  // namespace

int TemporaryFiles::Vfs::Open(sqlite3_vfs* self, const char* path, sqlite3_file* file, int flags, int* opened_flags) {
  auto* const vfs = static_cast<Vfs*>(self);
  // What has a name is the database or its log: the system's file, as if this were not here.
  if (path != nullptr) return vfs->system->xOpen(vfs->system, path, file, flags, opened_flags);
  file->pMethods = nullptr;  // not to be closed, unless it opens
  const int code = vfs->system->xOpen(vfs->system, path, Systems(file), flags, opened_flags);
  if (code != SQLITE_OK) return code;
  File* const ours = Ours(file);
  ours->bytes_of_all = &vfs->bytes;
  ours->most_bytes = vfs->most_bytes;
  ours->refused = &vfs->refused;
  ours->size = 0;
  ours->pMethods = &kMethods;
  return SQLITE_OK;
}

TemporaryFiles::TemporaryFiles(int64_t most_bytes) : vfs_(std::make_unique<Vfs>()) {
  sqlite3_vfs* const system = sqlite3_vfs_find(nullptr);
  // All but opening is the system's; it asks nothing of the object that it is called with but these fields.
  static_cast<sqlite3_vfs&>(*vfs_) = *system;
  vfs_->system = system;
  vfs_->name = NewName();
  vfs_->most_bytes = most_bytes;
  vfs_->zName = vfs_->name.c_str();
  vfs_->szOsFile = static_cast<int>(kSystemFileAt) + system->szOsFile;
  vfs_->xOpen = &Vfs::Open;
  sqlite3_vfs_register(vfs_.get(), /*makeDflt=*/0);
}

TemporaryFiles::~TemporaryFiles() {
  sqlite3_vfs_unregister(vfs_.get());
}

const std::string& TemporaryFiles::vfs_name() const {
  return vfs_->name;
}
int64_t TemporaryFiles::most_bytes() const {
  return vfs_->most_bytes;
}
int64_t TemporaryFiles::bytes() const {
  return vfs_->bytes;
}
bool TemporaryFiles::TakeRefused() {
  return std::exchange(vfs_->refused, false);
}

}  // namespace seedbed
