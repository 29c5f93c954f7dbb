#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/core/state.h"

namespace seedbed::core {
namespace {

std::string Shown(const std::string& value) {
  return absl::StrCat("'", value, "'");
}
std::string Shown(int64_t value) {
  return absl::StrCat(value);
}
std::string Shown(const Digest& value) {
  return value.Hex();
}
std::string Shown(const WorkerId& value) {
  return value.value();
}
template <typename Tag>
std::string Shown(StrongInt<Tag> value) {
  return absl::StrCat(value.value());
}
std::string Shown(SweepState value) {
  return Name(value);
}
std::string Shown(RunState value) {
  return Name(value);
}
std::string Shown(AttemptEnd value) {
  return Name(value);
}
std::string Shown(WorkerState value) {
  return Name(value);
}

template <typename Value>
std::string Shown(const std::optional<Value>& value) {
  return value ? Shown(*value) : "none";
}

// Notes the first difference and where it is.
class Comparison {
 public:
  explicit Comparison(std::string* difference) : difference_(difference) {}
  void At(std::string where) { where_ = std::move(where); }
  template <typename Value>
  void Compare(const char* what, const Value& a, const Value& b) {
    if (a == b || !equal_) return;
    equal_ = false;
    if (difference_ != nullptr) *difference_ = absl::StrCat(where_, ": ", what, " is ", Shown(a), " and ", Shown(b));
  }
  bool equal() const { return equal_; }

 private:
  std::string* difference_;
  std::string where_;
  bool equal_ = true;
};

void CompareSweeps(const SweepEntry& a, const SweepEntry& b, Comparison& comparison) {
  comparison.Compare("name", a.name, b.name);
  comparison.Compare("trainer", a.trainer, b.trainer);
  comparison.Compare("fixed_json", a.fixed_json, b.fixed_json);
  comparison.Compare("template_json", a.template_json, b.template_json);
  comparison.Compare("submission_id", a.submission_id, b.submission_id);
  comparison.Compare("state", a.state, b.state);
  comparison.Compare("priority", a.priority, b.priority);
  comparison.Compare("max_concurrent", a.max_concurrent, b.max_concurrent);
  comparison.Compare("retries", static_cast<int64_t>(a.retries), static_cast<int64_t>(b.retries));
  comparison.Compare("keep_checkpoints", std::string(Name(a.keep_checkpoints)), std::string(Name(b.keep_checkpoints)));
  comparison.Compare("numerics", std::string(Name(a.numerics)), std::string(Name(b.numerics)));
  comparison.Compare("number of configurations", static_cast<int64_t>(a.configurations.size()),
                     static_cast<int64_t>(b.configurations.size()));
}

void CompareConfigurations(const ConfigurationEntry& a, const ConfigurationEntry& b, Comparison& comparison) {
  comparison.Compare("sweep", a.sweep, b.sweep);
  comparison.Compare("ordinal", a.ordinal, b.ordinal);
  comparison.Compare("digest", a.digest, b.digest);
  comparison.Compare("pack_key", a.pack_key, b.pack_key);
}

void CompareRuns(const Run& a, const Run& b, Comparison& comparison) {
  comparison.Compare("sweep", a.sweep, b.sweep);
  comparison.Compare("configuration", a.configuration, b.configuration);
  comparison.Compare("seed", a.seed, b.seed);
  comparison.Compare("round", int64_t{a.round}, int64_t{b.round});
  comparison.Compare("state", StateOf(a), StateOf(b));
  comparison.Compare("fence", a.fence, b.fence);
  comparison.Compare("attempt_fence", a.attempt_fence, b.attempt_fence);
  comparison.Compare("attempts", int64_t{a.attempts}, int64_t{b.attempts});
  comparison.Compare("counted_ends", int64_t{a.counted_ends}, int64_t{b.counted_ends});
  comparison.Compare("failed_ends", int64_t{a.failed_ends}, int64_t{b.failed_ends});
  comparison.Compare("last_end", a.last_end, b.last_end);
  comparison.Compare("last_acknowledged_sequence", a.last_acknowledged_sequence, b.last_acknowledged_sequence);
  comparison.Compare("resume_step", a.resume_step, b.resume_step);
  if (StateOf(a) == RunState::kRunning && StateOf(b) == RunState::kRunning) {
    comparison.Compare("worker", std::get<Running>(a.state).worker->id, std::get<Running>(b.state).worker->id);
  }
}

void CompareCheckpoints(const std::vector<Checkpoint>& a, const std::vector<Checkpoint>& b, Comparison& comparison) {
  comparison.Compare("number", static_cast<int64_t>(a.size()), static_cast<int64_t>(b.size()));
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    comparison.Compare("step", a[i].step, b[i].step);
    comparison.Compare("attempt", int64_t{a[i].attempt}, int64_t{b[i].attempt});
    comparison.Compare("sequence", a[i].sequence, b[i].sequence);
    comparison.Compare("path", a[i].path, b[i].path);
    comparison.Compare("sha256", a[i].sha256, b[i].sha256);
    comparison.Compare("bytes", a[i].bytes, b[i].bytes);
    comparison.Compare("numerics", a[i].numerics, b[i].numerics);
  }
}

void CompareWorkers(const WorkerEntry& a, const WorkerEntry& b, Comparison& comparison) {
  comparison.Compare("name", a.name, b.name);
  comparison.Compare("host", a.host, b.host);
  comparison.Compare("device", a.device, b.device);
  comparison.Compare("version", a.version, b.version);
  comparison.Compare("slots", static_cast<int64_t>(a.slots), static_cast<int64_t>(b.slots));
  comparison.Compare("state", a.state, b.state);
  comparison.Compare("state_before_gone", a.state_before_gone, b.state_before_gone);
  comparison.Compare("number of trainers", static_cast<int64_t>(a.trainers.size()),
                     static_cast<int64_t>(b.trainers.size()));
  for (size_t i = 0; i < std::min(a.trainers.size(), b.trainers.size()); ++i) {
    comparison.Compare("trainer", a.trainers[i].trainer, b.trainers[i].trainer);
    comparison.Compare("numerics_json", a.trainers[i].numerics_json, b.trainers[i].numerics_json);
    const bool same = a.trainers[i].pack_parameters == b.trainers[i].pack_parameters;
    comparison.Compare("pack_parameters are the same", int64_t{1}, int64_t{same});
  }
}

// Both maps have the same keys, and the values compare.
template <typename Map, typename CompareValues>
void CompareMaps(const char* what, const Map& a, const Map& b, CompareValues compare, Comparison& comparison) {
  comparison.At(absl::StrCat(what, "s"));
  comparison.Compare("number", static_cast<int64_t>(a.size()), static_cast<int64_t>(b.size()));
  for (const auto& [id, value] : a) {
    comparison.At(absl::StrCat(what, " ", Shown(id)));
    const auto other = b.find(id);
    comparison.Compare("exists", int64_t{1}, int64_t{other != b.end()});
    if (other == b.end()) return;
    compare(value, other->second, comparison);
  }
}

template <typename Table, typename CompareValues>
void CompareTables(const char* what, const Table& a, const Table& b, CompareValues compare, Comparison& comparison) {
  comparison.At(absl::StrCat(what, "s"));
  comparison.Compare("number", a.size(), b.size());
  a.ForEach([&](const auto& value) {
    if (!comparison.equal()) return;
    comparison.At(absl::StrCat(what, " ", value.id.value()));
    const auto* other = b.Find(value.id);
    comparison.Compare("exists", int64_t{1}, int64_t{other != nullptr});
    if (other != nullptr) compare(value, *other, comparison);
  });
}

}  // namespace

bool State::DurablyEquals(const State& other, std::string* difference) const {
  Comparison comparison(difference);
  CompareMaps("sweep", sweeps_, other.sweeps_, CompareSweeps, comparison);
  CompareTables("configuration", configurations_, other.configurations_, CompareConfigurations, comparison);
  CompareTables("run", runs_, other.runs_, CompareRuns, comparison);
  CompareMaps("worker", workers_, other.workers_, CompareWorkers, comparison);
  CompareMaps("checkpoints of run", checkpoints_, other.checkpoints_, CompareCheckpoints, comparison);
  comparison.At("next ids");
  comparison.Compare("sweep", next_sweep_id_, other.next_sweep_id_);
  comparison.Compare("configuration", next_configuration_id_, other.next_configuration_id_);
  comparison.Compare("run", next_run_id_, other.next_run_id_);
  return comparison.equal();
}

}  // namespace seedbed::core
