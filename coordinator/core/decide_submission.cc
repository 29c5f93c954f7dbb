#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/text.h"
#include "common/sweep_file/sweep.h"
#include "coordinator/core/decide.h"
#include "coordinator/core/pack_key.h"
#include "coordinator/core/state_applier.h"

// Submissions: a sweep comes into being, and grows.
namespace seedbed::core {
namespace {

absl::Status CheckSubmission(const BeginSubmission& command) {
  if (command.submission_id.empty()) return absl::InvalidArgumentError("A submission needs an id drawn by its client");
  if (!IsPlainName(command.name)) {
    return absl::InvalidArgumentError(absl::StrCat("'", command.name,
                                                   "' cannot be a sweep's name: expected 1 to 128 letters, digits, "
                                                   "'_', '.' or '-', starting with a letter or digit"));
  }
  if (TrainerOf(command.template_json).empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("The template of sweep '", command.name, "' names no trainer; expected {\"trainer\": NAME, ...}"));
  }
  if (command.max_concurrent && *command.max_concurrent < 1) {
    return absl::InvalidArgumentError(absl::StrCat("max_concurrent of sweep '", command.name, "' is ",
                                                   *command.max_concurrent, "; expected at least 1"));
  }
  if (command.retries < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("retries of sweep '", command.name, "' is ", command.retries, "; expected at least 0"));
  }
  return absl::OkStatus();
}

Decision CreateSweep(const State& state, const BeginSubmission& command) {
  SweepCreated created;
  created.sweep = state.next_sweep_id();
  created.name = command.name;
  created.description = command.description;
  created.submission_id = command.submission_id;
  created.fixed_json = command.fixed_json;
  created.template_json = command.template_json;
  created.metric_json = command.metric_json;
  created.source = command.source;
  created.priority = command.priority;
  created.max_concurrent = command.max_concurrent;
  created.retries = command.retries;
  created.keep_checkpoints = command.keep_checkpoints;
  created.numerics = command.numerics;
  BeginSubmissionAnswer answer;
  answer.sweep = created.sweep;
  answer.created = true;
  return {{std::move(created)}, answer};
}

// Parameters that may differ inside a pack on every worker that is there and offers the trainer; none if there is no
// worker.
std::vector<std::string> CommonPackParameters(const State& state, const std::string& trainer) {
  std::optional<std::set<std::string>> common;
  for (const auto& [id, worker] : state.workers()) {
    if (worker.state == WorkerState::kGone) continue;
    for (const TrainerOffer& offer : worker.trainers) {
      if (offer.trainer != trainer) continue;
      const std::set<std::string> offered(offer.pack_parameters.begin(), offer.pack_parameters.end());
      if (!common) {
        common = offered;
        continue;
      }
      for (auto it = common->begin(); it != common->end();)
        it = offered.count(*it) > 0 ? std::next(it) : common->erase(it);
    }
  }
  return common ? std::vector<std::string>(common->begin(), common->end()) : std::vector<std::string>();
}

// Gives out ids, and the runs of one configuration after another.
class Growth {
 public:
  explicit Growth(const State& state)
      : next_configuration_(state.next_configuration_id()), next_run_(state.next_run_id()) {}

  ConfigurationId TakeConfigurationId() { return std::exchange(next_configuration_, next_configuration_.Next()); }

  void AddRun(SweepId sweep, ConfigurationId configuration, int64_t seed, int64_t round) {
    events.push_back(RunAdded{std::exchange(next_run_, next_run_.Next()), sweep, configuration, seed, round});
    ++runs;
  }

  std::vector<Event> events;
  int64_t runs = 0;

 private:
  ConfigurationId next_configuration_;
  RunId next_run_;
};

absl::flat_hash_set<int64_t> SeedsOf(const ConfigurationEntry* configuration) {
  absl::flat_hash_set<int64_t> seeds;
  if (configuration == nullptr) return seeds;
  for (const auto& seed_and_run : configuration->runs) seeds.insert(seed_and_run.first);
  return seeds;
}

absl::Status TooManyRuns(const State& state, const SweepEntry& sweep, const std::string& why) {
  return absl::ResourceExhaustedError(absl::StrCat("Sweep '", sweep.name, "' would have more than ",
                                                   state.settings().most_runs_of_sweep, " runs: ", why,
                                                   "; submit the rest under another name"));
}

// So that nothing of an extension is begun that cannot be completed.
absl::Status CheckExtendedSize(const State& state, const SweepEntry& sweep, int64_t seeds) {
  const int64_t most = state.settings().most_runs_of_sweep;
  const int64_t configurations = static_cast<int64_t>(sweep.configurations.size());
  if (configurations == 0 || seeds <= (most - std::min(most, sweep.counts.total())) / configurations) {
    return absl::OkStatus();
  }
  // Some may have more seeds than that already.
  int64_t runs = 0;
  for (const ConfigurationId id : sweep.configurations) {
    const int64_t present = static_cast<int64_t>(state.FindConfiguration(id)->runs.size());
    runs += std::max(present, std::min(seeds, most + 1));
    if (runs > most) {
      return TooManyRuns(state, sweep,
                         absl::StrCat(configurations, " configurations with ", seeds,
                                      " seeds each; extend it to at most ", most / configurations, " seeds"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckChunk(const SweepEntry& sweep, const AddConfigurations& command) {
  if (command.seeds.empty() || command.configurations.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("A chunk of sweep '", sweep.name, "' needs at least one configuration and one seed"));
  }
  const uint64_t runs = uint64_t{command.configurations.size()} * uint64_t{command.seeds.size()};
  if (runs > uint64_t{kMostRunsPerChunk}) {
    return absl::InvalidArgumentError(absl::StrCat("A chunk of sweep '", sweep.name, "' has ", runs,
                                                   " runs; send at most ", kMostRunsPerChunk, " at a time"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckGrownSize(const State& state, const SweepEntry& sweep, int64_t added) {
  const int64_t present = sweep.counts.total();
  if (added == 0 || present + added <= state.settings().most_runs_of_sweep) return absl::OkStatus();
  return TooManyRuns(state, sweep, absl::StrCat("it has ", present, ", and ", added, " more are to be added"));
}

absl::StatusOr<Decision> DecideOne(const State& state, const BeginSubmission& command, const Moment&) {
  SEEDBED_RETURN_IF_ERROR(CheckSubmission(command));
  const SweepEntry* sweep = state.FindSweepByName(command.name);
  if (sweep == nullptr) return CreateSweep(state, command);
  SEEDBED_RETURN_IF_ERROR(UsableSweep(state, sweep->id).status());
  if (sweep->fixed_json != command.fixed_json) {
    return absl::FailedPreconditionError(absl::StrCat(
        "Sweep '", command.name, "' exists, and a name fixes everything but points and seeds. What differs:\n",
        DiffFixedParts(sweep->fixed_json, command.fixed_json),
        "\nSubmit under another name, or delete the sweep first."));
  }
  BeginSubmissionAnswer answer;
  answer.sweep = sweep->id;
  answer.already_complete =
      sweep->state != SweepState::kSubmitting && sweep->completed_submission_id == command.submission_id;
  Decision decision;
  if (sweep->submission_id != command.submission_id) {
    decision.events.push_back(SweepExtended{sweep->id, command.submission_id, command.description, command.source,
                                            command.priority, command.max_concurrent, command.keep_checkpoints,
                                            command.numerics});
  }
  decision.answer = answer;
  return decision;
}

absl::StatusOr<Decision> DecideOne(const State& state, const AddConfigurations& command, const Moment&) {
  SEEDBED_ASSIGN_OR_RETURN(const SweepEntry* sweep, UsableSweep(state, command.sweep));
  SEEDBED_RETURN_IF_ERROR(CheckChunk(*sweep, command));
  SEEDBED_ASSIGN_OR_RETURN(const PackKeys pack_keys,
                           PackKeys::Create(sweep->template_json, CommonPackParameters(state, sweep->trainer)));
  AddConfigurationsAnswer answer;
  Growth growth(state);
  absl::flat_hash_set<Digest> seen;
  for (const NewConfiguration& added : command.configurations) {
    if (!seen.insert(added.digest).second) continue;
    const auto known = sweep->by_digest.find(added.digest);
    const ConfigurationEntry* entry =
        known == sweep->by_digest.end() ? nullptr : state.FindConfiguration(known->second);
    ConfigurationId id;
    if (entry != nullptr) {
      id = entry->id;
    } else {
      Digest pack_key = added.pack_key;
      if (pack_key == Digest()) {
        SEEDBED_ASSIGN_OR_RETURN(pack_key, pack_keys.Of(added.parameters_json));
      }
      id = growth.TakeConfigurationId();
      const int64_t ordinal = static_cast<int64_t>(sweep->configurations.size()) + answer.configurations_added;
      growth.events.push_back(
          ConfigurationAdded{id, sweep->id, ordinal, added.digest, pack_key, added.parameters_json, added.varied_json});
      ++answer.configurations_added;
    }
    absl::flat_hash_set<int64_t> seeds = SeedsOf(entry);
    for (const int64_t seed : command.seeds) {
      const int64_t round = static_cast<int64_t>(seeds.size());
      if (seeds.insert(seed).second) growth.AddRun(sweep->id, id, seed, round);
    }
  }
  SEEDBED_RETURN_IF_ERROR(CheckGrownSize(state, *sweep, growth.runs));
  answer.runs_added = growth.runs;
  return Decision{std::move(growth.events), answer};
}

absl::StatusOr<Decision> DecideOne(const State& state, const ChangeVaried& command, const Moment&) {
  SEEDBED_ASSIGN_OR_RETURN(const SweepEntry* sweep, UsableSweep(state, command.sweep));
  if (static_cast<int64_t>(command.varied_json.size()) > kMostRunsPerChunk) {
    return absl::InvalidArgumentError(absl::StrCat(command.varied_json.size(), " configurations of sweep '",
                                                   sweep->name, "' at once; expected at most ", kMostRunsPerChunk));
  }
  Decision decision;
  for (const auto& [id, varied_json] : command.varied_json) {
    const ConfigurationEntry* configuration = state.FindConfiguration(id);
    if (configuration == nullptr || configuration->sweep != sweep->id) {
      return absl::NotFoundError(absl::StrCat("Sweep '", sweep->name, "' has no configuration ", id.value()));
    }
    decision.events.push_back(VariedChanged{id, sweep->id, varied_json});
  }
  decision.answer = Done{};
  return decision;
}

absl::StatusOr<Decision> DecideOne(const State& state, const CompleteSubmission& command, const Moment&) {
  SEEDBED_ASSIGN_OR_RETURN(const SweepEntry* sweep, UsableSweep(state, command.sweep));
  if (sweep->submission_id != command.submission_id) {
    return absl::FailedPreconditionError(absl::StrCat("Submission ", command.submission_id, " of sweep '", sweep->name,
                                                      "' was taken over by submission ", sweep->submission_id,
                                                      "; submit again to add what is missing"));
  }
  Decision decision;
  if (sweep->state == SweepState::kSubmitting) {
    decision.events.push_back(SweepStateChanged{sweep->id, SweepState::kSubmitting, SweepState::kActive});
  }
  if (sweep->completed_submission_id != command.submission_id) {
    decision.events.push_back(SubmissionCompleted{sweep->id, command.submission_id});
  }
  decision.answer = Done{};
  return decision;
}

absl::StatusOr<Decision> DecideOne(const State& state, const ExtendSeeds& command, const Moment&) {
  SEEDBED_ASSIGN_OR_RETURN(const SweepEntry* sweep, UsableSweep(state, command.sweep));
  if (sweep->state == SweepState::kSubmitting) {
    return absl::FailedPreconditionError(
        absl::StrCat("Sweep '", sweep->name, "' is still being submitted; submit it again to complete it first"));
  }
  if (command.seeds < 1 || command.most < 1 || command.from_ordinal < 0) {
    return absl::InvalidArgumentError(absl::StrCat("Sweep '", sweep->name, "' cannot be extended to ", command.seeds,
                                                   " seeds from configuration ", command.from_ordinal, ", ",
                                                   command.most, " at a time; expected at least 1, 0 and 1"));
  }
  if (command.from_ordinal == 0) SEEDBED_RETURN_IF_ERROR(CheckExtendedSize(state, *sweep, command.seeds));
  Growth growth(state);
  const int64_t size = static_cast<int64_t>(sweep->configurations.size());
  int64_t ordinal = command.from_ordinal;
  for (int64_t looked_at = 0; ordinal < size && looked_at < command.most && growth.runs < command.most; ++looked_at) {
    const ConfigurationEntry& entry = *state.FindConfiguration(sweep->configurations[static_cast<size_t>(ordinal)]);
    int64_t count = static_cast<int64_t>(entry.runs.size());
    const absl::flat_hash_set<int64_t> used = count < command.seeds ? SeedsOf(&entry) : absl::flat_hash_set<int64_t>();
    for (int64_t seed = 0; count < command.seeds && growth.runs < command.most; ++seed) {
      if (used.count(seed) == 0) growth.AddRun(sweep->id, entry.id, seed, count++);
    }
    if (count < command.seeds) break;  // the chunk is full: go on with this configuration
    ++ordinal;
  }
  SEEDBED_RETURN_IF_ERROR(CheckGrownSize(state, *sweep, growth.runs));
  ChunkAnswer answer;
  answer.changed = growth.runs;
  answer.more = ordinal < size;
  answer.next = ordinal;
  return Decision{std::move(growth.events), answer};
}

}  // namespace seedbed::core
