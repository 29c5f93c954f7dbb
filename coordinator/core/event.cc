#include "coordinator/core/event.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace seedbed::core {
namespace {

struct DurabilityOf {
  bool operator()(const SubmissionCompleted&) const { return false; }
  bool operator()(const WorkerSeen&) const { return false; }
  bool operator()(const LeaseRenewed&) const { return false; }
  bool operator()(const CheckpointRequested&) const { return false; }
  bool operator()(const LeasesExtended&) const { return false; }
  bool operator()(const ClockTicked&) const { return false; }
  template <typename Other>
  bool operator()(const Other&) const {
    return true;
  }
};

std::string Text(const LeaseKey& lease) {
  return absl::StrCat("run ", lease.run.value(), " attempt ", lease.attempt, " fence ", lease.fence.value());
}

struct Describer {
  std::string operator()(const SweepCreated& e) const {
    return absl::StrCat("SweepCreated: sweep ", e.sweep.value(), " '", e.name, "'");
  }
  std::string operator()(const SweepExtended& e) const {
    return absl::StrCat("SweepExtended: sweep ", e.sweep.value(), " by submission ", e.submission_id);
  }
  std::string operator()(const SubmissionCompleted& e) const {
    return absl::StrCat("SubmissionCompleted: sweep ", e.sweep.value(), " submission ", e.submission_id);
  }
  std::string operator()(const SweepStateChanged& e) const {
    return absl::StrCat("SweepStateChanged: sweep ", e.sweep.value(), " ", Name(e.from), " -> ", Name(e.to));
  }
  std::string operator()(const ConfigurationAdded& e) const {
    return absl::StrCat("ConfigurationAdded: configuration ", e.configuration.value(), " of sweep ", e.sweep.value(),
                        " at ", e.ordinal, " ", e.digest.Hex());
  }
  std::string operator()(const VariedChanged& e) const {
    return absl::StrCat("VariedChanged: configuration ", e.configuration.value(), " of sweep ", e.sweep.value(), " ",
                        e.varied_json);
  }
  std::string operator()(const RunAdded& e) const {
    return absl::StrCat("RunAdded: run ", e.run.value(), " of configuration ", e.configuration.value(), " of sweep ",
                        e.sweep.value(), " seed ", e.seed, " round ", e.round);
  }
  std::string operator()(const AttemptGranted& e) const {
    return absl::StrCat("AttemptGranted: ", Text(e.lease), " to worker ", e.worker.value());
  }
  std::string operator()(const LeaseRestored& e) const {
    return absl::StrCat("LeaseRestored: ", Text(e.lease), " to worker ", e.worker.value());
  }
  std::string operator()(const ReportAcknowledged& e) const {
    return absl::StrCat("ReportAcknowledged: run ", e.run.value(), " attempt ", e.attempt, " sequence ", e.sequence,
                        " step ", e.last_step);
  }
  std::string operator()(const CheckpointStored& e) const {
    return absl::StrCat("CheckpointStored: run ", e.run.value(), " step ", e.checkpoint.step, " attempt ",
                        e.checkpoint.attempt);
  }
  std::string operator()(const CheckpointsDropped& e) const {
    return absl::StrCat("CheckpointsDropped: run ", e.run.value(), " steps ", absl::StrJoin(e.steps, ", "),
                        e.damage.empty() ? "" : ": ", e.damage);
  }
  std::string operator()(const AttemptEnded& e) const {
    return absl::StrCat("AttemptEnded: run ", e.run.value(), " attempt ", e.attempt, " ", Name(e.end), " -> ",
                        Name(e.next_state), " fence ", e.next_fence.value(), ": ", e.reason);
  }
  std::string operator()(const RunStateChanged& e) const {
    return absl::StrCat("RunStateChanged: run ", e.run.value(), " ", Name(e.from), " -> ", Name(e.to), " fence ",
                        e.next_fence.value());
  }
  std::string operator()(const RunsDeleted& e) const {
    return absl::StrCat("RunsDeleted: ", e.runs.size(), " runs and ", e.configurations.size(),
                        " configurations of sweep ", e.sweep.value());
  }
  std::string operator()(const SweepDeleted& e) const { return absl::StrCat("SweepDeleted: sweep ", e.sweep.value()); }
  std::string operator()(const WorkerRegistered& e) const {
    return absl::StrCat("WorkerRegistered: worker ", e.worker.value(), " '", e.name, "' on ", e.host);
  }
  std::string operator()(const WorkerStateChanged& e) const {
    return absl::StrCat("WorkerStateChanged: worker ", e.worker.value(), " ", Name(e.from), " -> ", Name(e.to), ": ",
                        e.reason);
  }
  std::string operator()(const WorkerSeen& e) const {
    return absl::StrCat("WorkerSeen: worker ", e.worker.value(), " call ", e.synchronize_number);
  }
  std::string operator()(const LeaseRenewed& e) const {
    return absl::StrCat("LeaseRenewed: run ", e.run.value(), " until ", absl::FormatDuration(e.expires_at));
  }
  std::string operator()(const CheckpointRequested& e) const {
    return absl::StrCat("CheckpointRequested: run ", e.run.value());
  }
  std::string operator()(const LeasesExtended& e) const {
    return absl::StrCat("LeasesExtended: by ", absl::FormatDuration(e.by));
  }
  std::string operator()(const ClockTicked& e) const {
    return absl::StrCat("ClockTicked: ", absl::FormatDuration(e.at));
  }
};

}  // namespace

bool IsDurable(const Event& event) {
  return std::visit(DurabilityOf{}, event);
}

std::string Describe(const Event& event) {
  return std::visit(Describer{}, event);
}

}  // namespace seedbed::core
