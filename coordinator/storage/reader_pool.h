#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/storage/database.h"
#include "coordinator/storage/reader.h"

namespace seedbed {

class Watchdog;

// Read-only connections, one per thread that reads at the moment. Thread-safe.
class ReaderPool {
 public:
  // `watchdog`, if there is one, outlives the pool.
  ReaderPool(std::string path, const ReaderOptions& options, Watchdog* watchdog = nullptr)
      : path_(std::move(path)), options_(options), watchdog_(watchdog) {}

  // A connection for one query, given back at the end of the scope.
  class Loan {
   public:
    Loan(ReaderPool* pool, std::unique_ptr<Database> database) : pool_(pool), database_(std::move(database)) {}
    Loan(Loan&& other) noexcept : pool_(std::exchange(other.pool_, nullptr)), database_(std::move(other.database_)) {}
    Loan& operator=(Loan&&) = delete;
    ~Loan();
    Database* operator->() const { return database_.get(); }
    Database* get() const { return database_.get(); }

   private:
    ReaderPool* pool_;
    std::unique_ptr<Database> database_;
  };
  // Waits for a free connection (RESOURCE_EXHAUSTED after query_limit); what runs on it is limited to query_limit from
  // now.
  absl::StatusOr<Loan> Borrow();
  // A connection outside of the pool, for what may take long.
  absl::StatusOr<std::unique_ptr<Database>> OpenConnection() const;

 private:
  void GiveBack(std::unique_ptr<Database> database);

  const std::string path_;
  const ReaderOptions options_;
  Watchdog* const watchdog_;
  std::mutex mutex_;
  std::condition_variable given_back_;
  std::vector<std::unique_ptr<Database>> idle_;
  int open_ = 0;  // idle ones included
};

}  // namespace seedbed
