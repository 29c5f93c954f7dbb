#pragma once

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/testing/temporary_directory.h"
#include "coordinator/coordinator.h"
#include "coordinator/operations.h"
#include "gtest/gtest.h"

// What the tests of the coordinator and of its handlers share.
namespace seedbed::coordinator_test {

using seedbed::TemporaryDirectory;

constexpr std::chrono::seconds kPatience(60);  // for things that happen at once on an idle machine

// For a coordinator behind a server: nothing waits for long, no disk has to be quick, and none is ever full.
inline CoordinatorOptions ServedOptions(const std::string& data_directory) {
  CoordinatorOptions options;
  options.directory = data_directory;
  options.synchronous = StoreOptions::Synchronous::kOff;
  options.loop.tick_every = absl::Milliseconds(20);
  options.loop.metric_delay = absl::Milliseconds(1);
  options.free_bytes = [] { return absl::StatusOr<int64_t>(int64_t{1} << 40); };
  return options;
}

// Keeps what is logged. Thread-safe.
class KeptLog {
 public:
  LogLine Writer() {
    return [this](LogLevel, const std::string& text) {
      const std::lock_guard<std::mutex> lock(mutex_);
      text_ += text + "\n";
    };
  }
  std::string text() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return text_;
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

// Stands still until told to move; thread-safe, since the loop reads it.
class ManualClock final : public Clock {
 public:
  Moment Now() const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return now_;
  }
  void Advance(absl::Duration by) {
    const std::lock_guard<std::mutex> lock(mutex_);
    now_.monotonic += by;
    now_.utc += by;
  }

 private:
  mutable std::mutex mutex_;
  Moment now_{absl::Seconds(1000), absl::FromUnixSeconds(1'700'000'000)};
};

// An answer that a callback brings, and that the test waits for.
template <typename T>
class Pending {
 public:
  std::function<void(absl::StatusOr<T>)> Callback() {
    return [promise = promise_](absl::StatusOr<T> value) { promise->set_value(std::move(value)); };
  }
  absl::StatusOr<T> Get() {
    if (future_.wait_for(kPatience) != std::future_status::ready) return absl::DeadlineExceededError("no answer came");
    return future_.get();
  }
  bool IsThere() { return future_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }

 private:
  std::shared_ptr<std::promise<absl::StatusOr<T>>> promise_ = std::make_shared<std::promise<absl::StatusOr<T>>>();
  std::future<absl::StatusOr<T>> future_ = promise_->get_future();
};

inline bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

// A sweep file with `configurations` points and `seeds` seeds.
inline std::string SweepText(const std::string& name, int configurations, int seeds) {
  std::string values;
  for (int i = 1; i <= configurations; ++i) values += (i > 1 ? ", " : "") + std::to_string(i) + "e-4";
  return "name: " + name + "\ntrainer: modular\nseeds: " + std::to_string(seeds) +
         "\nparameters:\n  optimizer.weight_decay: {values: [" + values + "]}\nbudget: {steps: 1000}\n";
}

inline absl::StatusOr<SubmissionResult> Submit(Coordinator* coordinator, const std::string& id,
                                               const std::string& text) {
  return SubmitSweep(coordinator, {id, text, "test.yaml", {}});
}

inline core::Synchronize CallOf(const std::string& worker, int64_t number, int free_slots) {
  core::Synchronize call;
  call.worker = WorkerId(worker);
  call.name = worker;
  call.slots = 4;
  call.free_slots = free_slots;
  call.number = number;
  call.trainers.push_back({"modular", "{}", {}});
  return call;
}

inline core::Report ReportOf(const std::string& worker, const core::LeaseKey& lease, int64_t sequence,
                             int64_t last_step = -1) {
  core::Report report;
  report.worker = WorkerId(worker);
  report.lease = lease;
  report.sequence = sequence;
  report.last_step = last_step;
  return report;
}

inline core::Report::End Finished(int64_t last_step) {
  core::Report::End end;
  end.end = core::AttemptEnd::kFinished;
  end.result = core::RunResult{"grokked", "budget", last_step, "{}"};
  return end;
}

inline MetricRows RowsOf(RunId run, int64_t first_step, int64_t count) {
  MetricRows rows;
  rows.run = run;
  MetricSeries loss{"train_loss", {}};
  for (int64_t step = first_step; step < first_step + count; ++step) {
    rows.steps.push_back(step);
    loss.values.push_back(1.0 / static_cast<double>(step + 1));
  }
  rows.series.push_back(std::move(loss));
  return rows;
}

}  // namespace seedbed::coordinator_test
