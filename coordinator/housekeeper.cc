#include "coordinator/housekeeper.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/storage/data_directory.h"

namespace seedbed {
namespace {

// Small enough that one pass is short, large enough that an idle sweep's trickle is moved in few passes.
constexpr int64_t kWorthMoving = 8 << 20;
constexpr absl::Duration kMoveAnywayAfter = absl::Seconds(30);

int64_t Mebibytes(int64_t bytes) {
  return bytes >> 20;
}

}  // namespace

Housekeeper::Housekeeper(HousekeeperOptions options, CommitLoop* loop) : options_(std::move(options)), loop_(loop) {
  WatchDisk();
  thread_ = std::thread([this] { Work(); });
}

Housekeeper::~Housekeeper() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Housekeeper::Work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!wake_.wait_for(lock, absl::ToChronoNanoseconds(options_.every), [this] { return stopping_; })) {
    lock.unlock();
    WatchDisk();
    MoveLog();
    lock.lock();
  }
}

void Housekeeper::WatchDisk() {
  const absl::StatusOr<int64_t> free = options_.free_bytes();
  if (!free.ok()) return;
  const bool full = *free < options_.least_free_bytes;
  loop_->HoldMetrics(full);
  if (full == std::exchange(disk_is_full_, full)) return;
  const std::string detail =
      full ? absl::StrCat(Mebibytes(*free), " MiB are left on the disk of ", options_.directory, ", below ",
                          Mebibytes(options_.least_free_bytes), " MiB: metric rows wait until there is room")
           : absl::StrCat(Mebibytes(*free), " MiB are free again on the disk of ", options_.directory,
                          ": metric rows are written again");
  options_.log(full ? LogLevel::kWarning : LogLevel::kInfo, detail);
  loop_->Note(AuditNote{full ? "disk_nearly_full" : "disk_has_room", detail, {}, {}, {}});
}

void Housekeeper::MoveLog() {
  const std::string path = DatabasePath(options_.directory);
  const int64_t bytes = WriteAheadLogBytes(path);
  since_moved_ += options_.every;
  if (bytes == 0 || (bytes < kWorthMoving && since_moved_ < kMoveAnywayAfter)) return;
  since_moved_ = absl::ZeroDuration();
  if (!checkpointer_) {
    absl::StatusOr<Checkpointer> opened = Checkpointer::Open(path);
    if (!opened.ok()) {
      options_.log(LogLevel::kWarning,
                   absl::StrCat("the write-ahead log cannot be moved: ", opened.status().ToString()));
      return;
    }
    checkpointer_.emplace(*std::move(opened));
  }
  const absl::StatusOr<Checkpointer::Result> moved = checkpointer_->Run();
  if (!moved.ok()) {
    options_.log(LogLevel::kWarning, absl::StrCat("moving the write-ahead log failed: ", moved.status().ToString()));
    return;
  }
  const int64_t left = WriteAheadLogBytes(path);
  const bool large = left > options_.most_log_bytes;
  if (large && !log_is_large_) {
    const std::string detail = absl::StrCat("the write-ahead log of ", path, " has grown to ", Mebibytes(left),
                                            " MiB: some program reads the database for too long");
    options_.log(LogLevel::kWarning, detail);
    loop_->Note(AuditNote{"write_ahead_log_too_large", detail, {}, {}, {}});
  }
  log_is_large_ = large;
}

}  // namespace seedbed
