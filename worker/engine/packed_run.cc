#include "worker/engine/packed_run.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/engine/messages.h"
#include "worker/engine/model_layout.h"
#include "worker/engine/task.h"

namespace seedbed::engine {
namespace {

constexpr size_t kMostRowsPerBatch = 512;
constexpr std::chrono::milliseconds kBetweenBatches(500);
constexpr std::chrono::seconds kBetweenSigns(2);
// However small a checkpoint is, it is synced, which waits for whatever else the disk has to do.
constexpr double kLeastSaveSeconds = 5;
constexpr int kGpuIsLostStatus = 70;

// An upper bound for a step with all its measures, so that a large model is not taken for a hang before the first of
// them has been timed. A multiplication and an addition per weight, token and pair: twice that again for the gradients,
// and once more for an analysis.
double FullStepSeconds(const RunParameters& run) {
  double flops_per_second = 5e9;  // the slowest kernels on one thread
  if (run.precision == Precision::kFloat64) flops_per_second /= 2;
  if (run.matmul_precision == MatmulPrecision::kBf16) flops_per_second /= 4;  // where the CPU has no such product
  const int64_t symbols = SymbolCount(run.task);
  const auto weights = static_cast<double>(LayoutOf(run.model, symbols, symbols).parameter_count);
  const double tokens = run.model.kind == "transformer" ? 3 : 1;
  const double pairs = static_cast<double>(symbols) * static_cast<double>(symbols);
  double flops = 8 * weights * tokens * pairs;
  // Five rounds of three products of each hidden matrix with squares of its smaller side.
  if (run.optimizer.kind == OptimizerKind::kMuon) flops += 30 * weights * static_cast<double>(run.model.width);
  return flops / flops_per_second;
}

// An upper bound for writing or reading a checkpoint: the parameters, what the optimiser remembers of them (two moments
// and Grokfast's average), and a disk as slow as the worker lets an upload be.
double CheckpointSeconds(const RunParameters& run) {
  constexpr double kBytesPerSecond = 20e6;
  const int64_t symbols = SymbolCount(run.task);
  const double bytes = run.precision == Precision::kFloat64 ? 8 : 4;
  return 4 * bytes * static_cast<double>(LayoutOf(run.model, symbols, symbols).parameter_count) / kBytesPerSecond;
}

// LibTorch reports failed allocations as errors of its own, told apart by their text alone.
bool IsAboutMemory(const std::string& text) {
  for (const char* sign : {"out of memory", "not enough memory", "can't allocate memory", "Cannot allocate memory",
                           "CUBLAS_STATUS_ALLOC_FAILED"}) {
    if (text.find(sign) != std::string::npos) return true;
  }
  return false;
}

// LibTorch's text without where in C++ it came from.
std::string WithoutBacktrace(std::string text) {
  for (const char* begin : {"\nException raised from", "\nframe #"}) {
    if (const size_t found = text.find(begin); found != std::string::npos) text.resize(found);
  }
  return text;
}

// After most errors of CUDA nothing more can be done in the process; one after another all runs would fail by them.
void LeaveIfGpuIsLost(const std::string& text) {
  if (text.find("CUDA error") == std::string::npos && text.find("CUBLAS_STATUS") == std::string::npos) return;
  std::cerr << "seedbed-engine: leaving, as the GPU cannot be used any more: " << text << std::endl;
  std::_Exit(kGpuIsLostStatus);
}

}  // namespace

PackedRun::PackedRun(RunRequest request, const PackSettings& settings, const Pack::Send& send, Announce announce)
    : request_(std::move(request)),
      settings_(settings),
      send_(send),
      announce_(std::move(announce)),
      last_batch_(settings_.now()),
      last_said_(last_batch_) {
  const absl::StatusOr<RunParameters> parameters = ReadRunParameters(request_.specification.parameters);
  if (!parameters.ok()) return;  // Build says what is wrong
  needed_bytes_ = NeededBytes(*parameters);
  full_step_seconds_ = FullStepSeconds(*parameters);
  checkpoint_seconds_ = CheckpointSeconds(*parameters);
}

void PackedRun::WantStop(bool checkpoint) {
  wants_stop_ = true;
  wants_checkpoint_ = wants_checkpoint_ || checkpoint;
}

template <typename F>
std::optional<std::string> PackedRun::Guarded(F train) {
  try {
    return train();
  } catch (const std::bad_alloc&) {
    return Failed(absl::ResourceExhaustedError("not enough memory for this run; use a smaller model or modulus"));
  } catch (const std::exception& error) {
    const std::string text = WithoutBacktrace(error.what());
    if (settings_.on_gpu && !IsAboutMemory(text)) LeaveIfGpuIsLost(text);
    return Failed(IsAboutMemory(text) ? absl::ResourceExhaustedError(text) : absl::InternalError(text));
  }
}

std::optional<std::string> PackedRun::Build() {
  return Guarded([&]() -> std::optional<std::string> {
    const RunSpecification& specification = request_.specification;
    absl::StatusOr<std::unique_ptr<Session>> session =
        request_.resume ? Session::Resume(specification, *request_.resume, settings_.make_learner)
                        : Session::Create(specification, settings_.make_learner);
    if (!session.ok()) return Failed(session.status());
    session_ = *std::move(session);
    last_step_ = session_->step();
    session_->set_announce([this](std::optional<double> seconds) {
      announce_(seconds.value_or(full_step_seconds_), "measures take long");
    });
    return std::nullopt;
  });
}

std::optional<std::string> PackedRun::Train(SteadyClock::time_point until) {
  return Guarded([&]() -> std::optional<std::string> {
    SteadyClock::time_point now = settings_.now();
    while (true) {
      const SteadyClock::time_point begin = now;
      if (wants_stop_ && !wants_checkpoint_) return Stopped();
      if (std::optional<std::string> last_message = MeasureIfDue()) return last_message;
      if (wants_checkpoint_) WriteCheckpoint();
      if (wants_stop_) return Stopped();
      session_->Update();
      now = settings_.now();
      step_seconds_ = std::chrono::duration<double>(now - begin).count();
      if (rows_.size() >= kMostRowsPerBatch) Flush(now);
      if (now >= until) return std::nullopt;
    }
  });
}

std::optional<std::string> PackedRun::MeasureIfDue() {
  if (!session_->is_measured()) {
    last_step_ = session_->step();
    const Session::Progress progress = session_->Measure();
    if (progress.row) rows_.push_back(*progress.row);
  }
  if (!session_->ending()) return std::nullopt;
  if (request_.final_checkpoint) WriteCheckpoint();
  Flush(settings_.now());
  return FinishedMessage(run(), session_->Outcome(), session_->ending()->reason, last_step_, session_->Summary());
}

void PackedRun::WriteCheckpoint() {
  wants_checkpoint_ = false;
  const SteadyClock::time_point begin = settings_.now();
  Flush(begin);  // a checkpoint follows all rows up to its step
  const std::string path = !request_.checkpoint_file.empty()
                               ? request_.checkpoint_file
                               : absl::StrCat(request_.directory, "/checkpoint-", session_->step(), ".sbc");
  announce_(std::max({kLeastSaveSeconds, checkpoint_seconds_, save_seconds_}), "writing a checkpoint");
  const absl::StatusOr<std::string> sum = session_->Save(path, settings_.numerics);
  const SteadyClock::time_point now = settings_.now();
  save_seconds_ = std::chrono::duration<double>(now - begin).count();
  if (sum.ok()) {
    Say(CheckpointMessage(run(), session_->step(), path, *sum, settings_.numerics), now);
  } else {
    std::cerr << "seedbed-engine: run " << run() << " goes on without a checkpoint of step " << session_->step() << ": "
              << sum.status().message() << std::endl;
  }
}

std::string PackedRun::Stopped() {
  Flush(settings_.now());
  return StoppedMessage(run(), last_step_);
}

std::string PackedRun::Failed(const absl::Status& status) {
  Flush(settings_.now());
  has_lacked_memory_ = absl::IsResourceExhausted(status);
  return FailedMessage(run(), has_lacked_memory_ ? FailureKind::kOutOfMemory : FailureKind::kError,
                       std::string(status.message()),
                       has_lacked_memory_ && settings_.is_stacked ? settings_.capacity : 0);
}

bool PackedRun::SendWhatIsDue(SteadyClock::time_point now) {
  if (now - last_batch_ >= kBetweenBatches) Flush(now);
  return now - last_said_ >= kBetweenSigns;
}

void PackedRun::SayAlive(SteadyClock::time_point now) {
  Say(AliveMessage(run(), last_step_), now);
}

void PackedRun::SayBusy(double seconds, const std::string& reason, SteadyClock::time_point now) {
  constexpr double kMostBusySeconds = 3600;  // the protocol's bound
  Say(BusyMessage(run(), std::min(kMostBusySeconds, seconds), reason), now);
}

void PackedRun::Flush(SteadyClock::time_point now) {
  last_batch_ = now;
  if (rows_.empty()) return;
  send_(MetricsMessage(run(), rows_));
  rows_.clear();
}

void PackedRun::Say(std::string message, SteadyClock::time_point now) {
  last_said_ = now;
  send_(std::move(message));
}

}  // namespace seedbed::engine
