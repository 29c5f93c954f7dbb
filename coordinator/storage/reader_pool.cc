#include "coordinator/storage/reader_pool.h"

#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/storage/migrations.h"

namespace seedbed {
namespace {

// A text made by a query; sweep files of 4 MiB are the longest that is stored.
constexpr int kMostValueBytes = 8 << 20;

}  // namespace

ReaderPool::Loan::~Loan() {
  if (pool_ != nullptr && database_ != nullptr) pool_->GiveBack(std::move(database_));
}

absl::StatusOr<std::unique_ptr<Database>> ReaderPool::OpenConnection() const {
  struct stat found;
  if (::stat(path_.c_str(), &found) != 0) {
    return absl::NotFoundError(absl::StrCat("there is no results database ", path_,
                                            "; name a data directory with --data, or a coordinator with --server"));
  }
  Database::Options options;
  options.busy_timeout = options_.busy_timeout;
  options.most_temporary_bytes = options_.most_temporary_bytes;
  options.watchdog = watchdog_;
  SEEDBED_ASSIGN_OR_RETURN(std::unique_ptr<Database> database, Database::Open(path_, options));
  SEEDBED_ASSIGN_OR_RETURN(const int64_t version, CheckSchema(database.get(), SchemaVersion()));
  if (version == 0) {
    return absl::NotFoundError(absl::StrCat(path_, " is empty; a coordinator or `seedbed run` fills it"));
  }
  if (version < SchemaVersion()) {
    return absl::FailedPreconditionError(absl::StrCat(path_, " has schema version ", version, ", this program reads ",
                                                      SchemaVersion(),
                                                      "; start a coordinator on it once to bring it up to date"));
  }
  database->AllowOnlySelect(kMostValueBytes, options_.most_memory_bytes);
  return database;
}

absl::StatusOr<ReaderPool::Loan> ReaderPool::Borrow() {
  std::unique_ptr<Database> database;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto is_free = [this] { return !idle_.empty() || open_ < options_.most_connections; };
    if (!given_back_.wait_for(lock, absl::ToChronoNanoseconds(options_.query_limit), is_free)) {
      return absl::ResourceExhaustedError(absl::StrCat("all ", options_.most_connections, " connections that read ",
                                                       path_, " are busy; try again later"));
    }
    if (!idle_.empty()) {
      database = std::move(idle_.back());
      idle_.pop_back();
    } else {
      ++open_;
    }
  }
  if (database == nullptr) {
    absl::StatusOr<std::unique_ptr<Database>> opened = OpenConnection();
    if (!opened.ok()) {
      GiveBack(nullptr);
      return opened.status();
    }
    database = *std::move(opened);
  }
  database->LimitTime(options_.query_limit);
  return Loan(this, std::move(database));
}

void ReaderPool::GiveBack(std::unique_ptr<Database> database) {
  if (database != nullptr) database->LimitTime(absl::InfiniteDuration());
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (database != nullptr) {
      idle_.push_back(std::move(database));
    } else {
      --open_;
    }
  }
  given_back_.notify_one();
}

}  // namespace seedbed
