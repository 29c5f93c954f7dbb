#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/testing/temporary_directory.h"
#include "coordinator/core/event.h"
#include "coordinator/storage/database.h"
#include "coordinator/storage/reader.h"
#include "coordinator/storage/store.h"
#include "gtest/gtest.h"

// What the storage tests share.
namespace seedbed::storage_test {

using seedbed::TemporaryDirectory;

// Without syncing and without waiting for locks; aborts the test binary where it cannot be opened.
StoreOptions FastOptions(const std::string& directory);
std::unique_ptr<Store> OpenStore(const StoreOptions& options);
std::unique_ptr<Reader> OpenReader(const Store& store);
std::unique_ptr<Database> OpenRaw(const std::string& path, bool writable = true);

Batch Events(std::vector<core::Event> events);
Batch Metrics(std::vector<MetricRows> rows);

// Sweep `name` with `configurations` × `seeds` queued runs, numbered from first_id on, active. The parameters of
// configuration i are
// {"optimizer.weight_decay": i, "model.activation": "gelu"}.
std::vector<core::Event> SweepEvents(const std::string& name, int configurations, int seeds, SweepId sweep = SweepId(1),
                                     int64_t first_configuration = 1, int64_t first_run = 1);
core::WorkerRegistered WorkerEvent(const std::string& id);
core::AttemptGranted Grant(RunId run, int attempt, int64_t fence, std::optional<int64_t> resume_step = std::nullopt);
// The attempt `attempt` of `run`, granted with `fence`, ends as finished with this summary.
core::AttemptEnded Finish(RunId run, int attempt, int64_t next_fence, const std::string& outcome,
                          const std::string& summary_json, int64_t last_step = 100);

// The first column of the first row as text; "NULL" for NULL, "none" without a row, the error's text for an error.
std::string One(Database* database, const std::string& sql);
std::string One(const Store& store, const std::string& sql);

#define SEEDBED_EXPECT_OK(expression)                         \
  do {                                                        \
    const ::absl::Status seedbed_expected_ = (expression);    \
    EXPECT_TRUE(seedbed_expected_.ok()) << seedbed_expected_; \
  } while (false)
#define SEEDBED_ASSERT_OK(expression)                         \
  do {                                                        \
    const ::absl::Status seedbed_expected_ = (expression);    \
    ASSERT_TRUE(seedbed_expected_.ok()) << seedbed_expected_; \
  } while (false)

}  // namespace seedbed::storage_test
