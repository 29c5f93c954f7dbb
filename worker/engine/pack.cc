#include "worker/engine/pack.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "worker/engine/messages.h"
#include "worker/engine/numerics.h"
#include "worker/engine/packed_run.h"

namespace seedbed::engine {
namespace {

// From here on steps are announced as `busy`, as `alive` might come too late.
constexpr double kLongStepSeconds = 3;
// Loading CUDA's libraries and finding out how many replicas there is memory for.
constexpr double kGpuBuildSeconds = 60;

}  // namespace

Pack::Pack(PackSettings settings, Send send) : settings_(std::move(settings)), send_(std::move(send)) {}

Pack::~Pack() = default;

void Pack::Start(RunRequest request) {
  if (runs_.size() >= static_cast<size_t>(settings_.capacity)) {
    send_(NoPlace(request.run));
    return;
  }
  runs_.push_back(std::make_unique<PackedRun>(
      std::move(request), settings_, send_,
      [this](double seconds, const std::string& reason) { SayThatAllAreBusy(seconds, reason); }));
}

std::string Pack::NoPlace(int64_t run) const {
  const std::string reason =
      absl::StrFormat("the engine has no free place among its %d: wait for a run to end", settings_.capacity);
  // The worker cannot know yet how many places a stacked pack has just lost.
  return settings_.is_stacked ? FailedMessage(run, FailureKind::kOutOfMemory, reason, 2 * settings_.capacity)
                              : FailedMessage(run, FailureKind::kError, reason);
}

void Pack::SetCapacity(int capacity, Json numerics) {
  settings_.capacity = capacity;
  settings_.numerics = std::move(numerics);
}

void Pack::HandBackWhatHasNoPlace() {
  while (runs_.size() > static_cast<size_t>(settings_.capacity) && !runs_.back()->is_built()) {
    const int64_t run = runs_.back()->run();
    runs_.pop_back();
    send_(NoPlace(run));
  }
}

void Pack::EndAllForMemory(std::string first_message) {
  std::vector<std::string> last_messages = {std::move(first_message)};
  const absl::Status status =
      absl::ResourceExhaustedError("the pack ran out of memory: it goes on in packs of half the size");
  for (const std::unique_ptr<PackedRun>& run : runs_) last_messages.push_back(run->Failed(status));
  runs_.clear();
  for (std::string& message : last_messages) send_(std::move(message));
  if (settings_.shrink != nullptr) settings_.shrink();
}

PackedRun* Pack::Find(int64_t run) {
  for (const std::unique_ptr<PackedRun>& packed : runs_) {
    if (packed->run() == run) return packed.get();
  }
  return nullptr;
}

void Pack::Checkpoint(int64_t run) {
  if (PackedRun* const packed = Find(run)) packed->WantCheckpoint();
}

void Pack::Stop(int64_t run, bool checkpoint) {
  if (PackedRun* const packed = Find(run)) packed->WantStop(checkpoint);
}

void Pack::StopAll(bool checkpoint) {
  for (const std::unique_ptr<PackedRun>& packed : runs_) packed->WantStop(checkpoint);
}

absl::Status Pack::CheckMemory(const PackedRun& run) const {
  double others = 0;
  for (const std::unique_ptr<PackedRun>& packed : runs_) others += packed->is_built() ? packed->needed_bytes() : 0;
  const auto available = static_cast<double>(PhysicalMemoryBytes());
  // One that does not even fit alone is refused with advice when its learner is made.
  if (others == 0 || others + run.needed_bytes() <= available) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrFormat(
      "this run needs about %.1f GB of memory, the others in its pack take %.1f and the machine has %.1f: use smaller "
      "packs",
      run.needed_bytes() * 1e-9, others * 1e-9, available * 1e-9));
}

void Pack::Advance() {
  if (runs_.empty()) return;
  if (next_ >= runs_.size()) next_ = 0;
  PackedRun* const run = runs_[next_].get();
  std::optional<std::string> last_message;
  if (run->EndsUnbuilt()) {
    last_message = run->Stopped();
  } else if (!run->is_built()) {
    SayThatAllAreBusy(run->build_seconds() + (settings_.on_gpu ? kGpuBuildSeconds : 0), "building a model");
    const absl::Status fits = settings_.is_stacked ? absl::OkStatus() : CheckMemory(*run);
    last_message = fits.ok() ? run->Build() : run->Failed(fits);
  }
  if (!last_message) last_message = run->Train(settings_.now() + settings_.turn);
  if (last_message) {
    const bool all_end = settings_.is_stacked && run->has_lacked_memory();
    runs_.erase(runs_.begin() + static_cast<std::ptrdiff_t>(next_));  // first: its place and its memory are free
    if (all_end) {
      EndAllForMemory(*std::move(last_message));
    } else {
      send_(*std::move(last_message));
    }
  } else {
    ++next_;
  }
  HandBackWhatHasNoPlace();
  SayThatAllLive();
}

void Pack::SayThatAllLive() {
  // Each gets its turn before the first can be heard of again.
  double long_steps = 0;
  for (const std::unique_ptr<PackedRun>& run : runs_) {
    if (run->step_seconds() >= kLongStepSeconds) long_steps += run->step_seconds();
  }
  const PackedRun::SteadyClock::time_point now = settings_.now();
  for (const std::unique_ptr<PackedRun>& run : runs_) {
    if (!run->SendWhatIsDue(now)) continue;
    if (long_steps > 0) {
      run->SayBusy(10 + 4 * long_steps, "steps take long", now);
    } else {
      run->SayAlive(now);
    }
  }
}

void Pack::SayThatAllAreBusy(double seconds, const std::string& reason) {
  if (seconds < kLongStepSeconds) return;
  const PackedRun::SteadyClock::time_point now = settings_.now();
  for (const std::unique_ptr<PackedRun>& run : runs_) run->SayBusy(10 + 4 * seconds, reason, now);
}

}  // namespace seedbed::engine
