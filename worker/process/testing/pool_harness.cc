#include "worker/process/testing/pool_harness.h"

#include <gtest/gtest.h>

#include <chrono>

#include "worker/process/attempt_directory.h"
#include "worker/process/process_table.h"

namespace seedbed::testing {
namespace {

constexpr std::chrono::seconds kPatience{60 * SEEDBED_TIME_FACTOR};

}  // namespace

PoolHarness::PoolHarness(const std::string& program, const std::vector<std::map<std::string, std::string>>& engines,
                         const EngineLimits& limits)
    : token_(directory_.path()) {
  absl::StatusOr<std::unique_ptr<Spawner>> spawner = StartSpawner();
  if (!spawner.ok()) abort();
  spawner_ = *std::move(spawner);
  EnginePoolOptions options;
  options.limits = limits;
  for (const auto& variables : engines) {
    EngineLaunch launch;
    launch.argv = {program};
    launch.environment.assign(variables.begin(), variables.end());
    launch.environment.emplace_back("SEEDBED_TEST_TOKEN", token_);
    options.engines.push_back(std::move(launch));
  }
  pool_ = std::make_unique<ProcessEnginePool>(std::move(options), spawner_.get(), &clock_);
}

PoolHarness::~PoolHarness() {
  EXPECT_EQ(Close(), 0) << "processes are left";
}

void PoolHarness::Start() {
  pool_->Start([this](EngineEvent event) { Take(std::move(event)); });
}

void PoolHarness::Take(EngineEvent event) {
  if (hook_) hook_(event);
  std::lock_guard<std::mutex> lock(mutex_);
  if (auto* metrics = std::get_if<AttemptMetrics>(&event)) {
    for (size_t row = 0; row < metrics->steps.size(); ++row) {
      std::vector<MetricColumn> columns;
      for (const MetricColumn& column : metrics->columns) columns.push_back({column.name, {column.values[row]}});
      metrics_[metrics->attempt.value()][metrics->steps[row]] = std::move(columns);
    }
  }
  events_.push_back(std::move(event));
  arrived_.notify_all();
}

AttemptStart PoolHarness::MakeStart(int64_t attempt, int engine, int64_t steps) {
  AttemptStart start;
  start.attempt = AttemptId(attempt);
  start.engine = engine;
  start.specification = {{"trainer", "modular"},  {"parameters", {{"optimizer.learning_rate", 0.01}}},
                         {"seed", attempt},       {"budget", {{"steps", steps}, {"seconds", nullptr}}},
                         {"stop", Json::array()}, {"metrics", {{"log_every", 1}, {"evaluate_every", 10}}}};
  absl::StatusOr<std::string> directory = CreateAttemptDirectory(directory_.path(), std::to_string(attempt));
  EXPECT_TRUE(directory.ok()) << directory.status();
  if (directory.ok()) start.directory = *directory;
  return start;
}

void PoolHarness::StartRun(int64_t attempt, int engine, int64_t steps, std::optional<std::string> resume) {
  AttemptStart start = MakeStart(attempt, engine, steps);
  start.resume = std::move(resume);
  pool_->StartRun(std::move(start));
}

EngineEvent PoolHarness::Await(const std::function<bool(const EngineEvent&)>& wanted, const std::string& what) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    while (!events_.empty()) {
      EngineEvent event = std::move(events_.front());
      events_.pop_front();
      if (wanted(event)) return event;
    }
    if (arrived_.wait_until(lock, deadline) == std::cv_status::timeout && events_.empty()) {
      ADD_FAILURE() << "not seen in time: " << what;
      return PoolStopped{};
    }
  }
}

namespace {

template <typename T>
T ValueOr(const EngineEvent& event) {
  const T* value = std::get_if<T>(&event);
  return value == nullptr ? T() : *value;
}

}  // namespace

EngineBecameReady PoolHarness::AwaitReady(int engine) {
  return ValueOr<EngineBecameReady>(Await(
      [&](const EngineEvent& event) {
        const auto* ready = std::get_if<EngineBecameReady>(&event);
        return ready != nullptr && ready->engine == engine;
      },
      "engine ready"));
}

EngineWentDown PoolHarness::AwaitDown(int engine) {
  return ValueOr<EngineWentDown>(Await(
      [&](const EngineEvent& event) {
        const auto* down = std::get_if<EngineWentDown>(&event);
        return down != nullptr && down->engine == engine;
      },
      "engine down"));
}

AttemptEnded PoolHarness::AwaitEnd(int64_t attempt) {
  return ValueOr<AttemptEnded>(Await(
      [&](const EngineEvent& event) {
        const auto* ended = std::get_if<AttemptEnded>(&event);
        return ended != nullptr && ended->attempt == AttemptId(attempt);
      },
      "end of attempt " + std::to_string(attempt)));
}

void PoolHarness::AwaitStopped() {
  Await([](const EngineEvent& event) { return std::holds_alternative<PoolStopped>(event); }, "pool stopped");
}

std::map<int64_t, std::map<int64_t, std::vector<MetricColumn>>> PoolHarness::metrics() {
  std::lock_guard<std::mutex> lock(mutex_);
  return metrics_;
}

int PoolHarness::Close() {
  pool_.reset();
  spawner_.reset();
  return CountProcesses();
}

int PoolHarness::CountProcesses() const {
  int left = 0;
  for (const auto& [pid, entry] : ReadProcessTable()) {
    if (entry.state != 'Z' && ReadProcessVariable(pid, "SEEDBED_TEST_TOKEN") == token_) ++left;
  }
  return left;
}

}  // namespace seedbed::testing
