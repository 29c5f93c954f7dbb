#include "worker/engine/training.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "worker/engine/messages.h"
#include "worker/engine/session.h"

namespace seedbed::engine {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr size_t kMostRowsPerBatch = 512;
constexpr double kSecondsPerBatch = 0.5;
constexpr double kSecondsBetweenAlive = 2;
constexpr double kMostBusySeconds = 3600;  // the protocol's bound
constexpr double kLongStepSeconds = 3;     // from here on steps are announced, as `alive` might come too late

// Collects a run's rows and says when it lives.
class Reporter {
 public:
  Reporter(int64_t run, const std::function<void(std::string)>& send)
      : run_(run),
        send_(send),
        last_batch_(SteadyClock::now()),
        last_alive_(last_batch_),
        last_step_end_(last_batch_) {}

  // After each step.
  void Note(const Session::Progress& progress, int64_t step) {
    if (progress.row) rows_.push_back(*progress.row);
    const SteadyClock::time_point now = SteadyClock::now();
    const auto seconds = [&](SteadyClock::time_point then) {
      return std::chrono::duration<double>(now - then).count();
    };
    if (rows_.size() >= kMostRowsPerBatch || seconds(last_batch_) >= kSecondsPerBatch) Flush(now);
    const double step_seconds = seconds(last_step_end_);
    last_step_end_ = now;
    if (step_seconds >= kLongStepSeconds) {
      send_(BusyMessage(run_, std::min(kMostBusySeconds, 10 + 4 * step_seconds), "steps of this run take long"));
      last_alive_ = now;
    } else if (seconds(last_alive_) >= kSecondsBetweenAlive) {
      send_(AliveMessage(run_, step));
      last_alive_ = now;
    }
  }

  void Flush(SteadyClock::time_point now = SteadyClock::now()) {
    last_batch_ = now;
    if (rows_.empty()) return;
    send_(MetricsMessage(run_, rows_));
    rows_.clear();
  }

 private:
  const int64_t run_;
  const std::function<void(std::string)>& send_;
  std::vector<MetricRow> rows_;
  SteadyClock::time_point last_batch_, last_alive_, last_step_end_;
};

// An upper bound for the first step, so that a large model is not taken for a hang before its first sign of life.
double FirstStepSeconds(const RunSpecification& specification) {
  constexpr double kSlowestFlopsPerSecond = 5e9;
  const auto parameters = ReadRunParameters(specification.parameters);
  if (!parameters.ok()) return 0;
  const auto symbols = static_cast<double>(parameters->task.modulus);
  const auto width = static_cast<double>(parameters->model.width);
  const double weights = 2 * symbols * width + static_cast<double>(parameters->model.depth) * width * width;
  return 6 * weights * symbols * symbols / kSlowestFlopsPerSecond;
}

std::string Train(int64_t run, const RunSpecification& specification, const std::function<void(std::string)>& send,
                  const std::function<bool()>& wants_stop) {
  if (wants_stop()) return StoppedMessage(run, 0);
  const double first_step = FirstStepSeconds(specification);
  if (first_step >= kLongStepSeconds)
    send(BusyMessage(run, std::min(kMostBusySeconds, 10 + first_step), "building the model"));
  absl::StatusOr<std::unique_ptr<Session>> session = Session::Create(specification);
  if (!session.ok()) {
    return FailedMessage(run,
                         absl::IsResourceExhausted(session.status()) ? FailureKind::kOutOfMemory : FailureKind::kError,
                         std::string(session.status().message()));
  }
  Reporter reporter(run, send);
  int64_t last_step = 0;
  while (true) {
    if (wants_stop()) {
      reporter.Flush();
      return StoppedMessage(run, last_step);
    }
    last_step = (*session)->step();
    const Session::Progress progress = (*session)->Advance();
    reporter.Note(progress, last_step);
    if (progress.ending) {
      reporter.Flush();
      return FinishedMessage(run, (*session)->Outcome(), progress.ending->reason, last_step, (*session)->Summary());
    }
  }
}

// LibTorch reports failed allocations as errors of its own, told apart by their text alone.
bool IsAboutMemory(const std::string& text) {
  for (const char* sign : {"out of memory", "not enough memory", "can't allocate memory", "Cannot allocate memory"}) {
    if (text.find(sign) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

std::string TrainRun(int64_t run, const RunSpecification& specification, const std::function<void(std::string)>& send,
                     const std::function<bool()>& wants_stop) {
  try {
    return Train(run, specification, send, wants_stop);
  } catch (const std::bad_alloc&) {
    return FailedMessage(run, FailureKind::kOutOfMemory,
                         "not enough memory for this run; use a smaller model or modulus");
  } catch (const std::exception& error) {
    const std::string text = error.what();
    return FailedMessage(run, IsAboutMemory(text) ? FailureKind::kOutOfMemory : FailureKind::kError, text);
  }
}

}  // namespace seedbed::engine
