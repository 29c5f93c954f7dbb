// Messages of workers, converted to commands and decided by a core that has a small sweep: whatever they say, the state
// keeps its invariants, and what is refused is refused with a code that says so.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/core/scheduler.h"
#include "coordinator/core/state.h"
#include "coordinator/rpc/convert.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/messages.h"

namespace seedbed::fuzz {
namespace {

class Scheduler {
 public:
  Scheduler() {
    core::BeginSubmission begin;
    begin.submission_id = "id";
    begin.name = "s";
    begin.fixed_json = "{}";
    begin.template_json =
        R"({"budget":{"seconds":null,"steps":100},"metrics":{"evaluate_every":20,"log_every":10},"stop":[],"trainer":"modular"})";
    begin.metric_json = "null";
    Do(begin);
    core::AddConfigurations add;
    add.sweep = SweepId(1);
    add.seeds = {0, 1};
    for (int i = 0; i < 2; ++i) {
      const std::string parameters = absl::StrCat(R"({"optimizer.weight_decay":)", i, "}");
      add.configurations.push_back({DigestOf(parameters), Digest{}, parameters, parameters});
    }
    Do(add);
    core::CompleteSubmission complete;
    complete.sweep = SweepId(1);
    complete.submission_id = "id";
    Do(complete);
  }

  void Do(const core::Command& command) {
    now_.monotonic += absl::Milliseconds(100);
    now_.utc += absl::Milliseconds(100);
    const absl::StatusOr<core::Decision> decision = core::Decide(state_, command, now_);
    if (!decision.ok()) {
      Require(absl::IsNotFound(decision.status()) || absl::IsFailedPrecondition(decision.status()) ||
                  absl::IsInvalidArgument(decision.status()),
              "the core refuses in words: " + decision.status().ToString());
      return;
    }
    for (const core::Event& event : decision->events) state_.Apply(event);
    const absl::Status holds = state_.CheckInvariants();
    Require(holds.ok(), holds.ToString());
    if (const auto* answer = std::get_if<core::SynchronizeAnswer>(&decision->answer)) {
      SynchronizeReply reply;
      reply.answer = *answer;
      for (const core::LeaseToStart& lease : answer->start) reply.start.push_back({lease, "s", "{}"});
      v1::SynchronizeResponse response;
      ToProto(reply, &response);
      Require(response.start_size() == static_cast<int>(answer->start.size()), "every grant is told");
    }
  }

 private:
  core::State state_;
  Moment now_{absl::Seconds(1000), absl::FromUnixSeconds(1'700'000'000)};
};

// A refusal of a message's own content.
void RequireRefusal(const absl::Status& status) {
  Require(absl::IsInvalidArgument(status) || absl::IsResourceExhausted(status),
          "a message is refused with INVALID_ARGUMENT or RESOURCE_EXHAUSTED: " + status.ToString());
  Require(!status.message().empty(), "a refusal says why");
}

void Synchronize(const std::string& bytes, Scheduler* scheduler) {
  v1::SynchronizeRequest request;
  if (!request.ParseFromString(bytes)) return;
  absl::StatusOr<core::Synchronize> command = FromProto(request);
  if (!command.ok()) return RequireRefusal(command.status());
  scheduler->Do(*std::move(command));
}

void Report(const std::string& bytes, Scheduler* scheduler) {
  v1::ReportRequest request;
  if (!request.ParseFromString(bytes)) return;
  const absl::StatusOr<core::LeaseKey> lease = FromProto(request.lease());
  if (!lease.ok()) return RequireRefusal(lease.status());
  absl::StatusOr<CheckedReport> checked = FromProto(request, *lease);
  if (!checked.ok()) return RequireRefusal(checked.status());
  if (checked->rows) {
    const MetricRows& rows = *checked->rows;
    for (size_t i = 1; i < rows.steps.size(); ++i) Require(rows.steps[i - 1] < rows.steps[i], "steps rise");
    for (const MetricSeries& series : rows.series) {
      Require(series.values.size() == rows.steps.size(), "as many values as steps");
      Require(CheckMetricName(series.metric).ok(), "metrics have names that the store takes");
    }
  }
  Require(checked->bytes > 0, "a report has a size");
  scheduler->Do(std::move(checked->report));
}

// Without the file.
void PutCheckpoint(const std::string& bytes, Scheduler* scheduler) {
  v1::PutCheckpointRequest request;
  if (!request.ParseFromString(bytes) || !request.has_header()) return;
  absl::StatusOr<core::StoreCheckpoint> command = FromProto(request.header());
  if (!command.ok()) return RequireRefusal(command.status());
  Require(command->checkpoint.bytes >= 0 && command->checkpoint.step >= 0, "a checkpoint has a size and a step");
  command->checkpoint.path = "checkpoints/fuzz";
  scheduler->Do(*std::move(command));
}

void ListRuns(const std::string& bytes) {
  v1::ListRunsRequest request;
  if (!request.ParseFromString(bytes)) return;
  for (const int state : request.states()) {
    const absl::StatusOr<core::RunState> known = FromProto(static_cast<v1::RunState>(state));
    if (!known.ok()) RequireRefusal(known.status());
  }
  for (const auto& [name, value] : request.parameters()) {
    const absl::StatusOr<Json> json = ParseJson(ParameterValueJson(value), "a parameter's value");
    Require(json.ok(), "a value that people type becomes JSON: " + value);
  }
}

}  // namespace
}  // namespace seedbed::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace seedbed::fuzz;  // NOLINT: the entry point has to be global
  Scheduler scheduler;
  for (const Call& call : CallsOf(data, size)) {
    if (call.method == "WorkerService/Synchronize") Synchronize(call.request, &scheduler);
    if (call.method == "WorkerService/Report") Report(call.request, &scheduler);
    if (call.method == "WorkerService/PutCheckpoint") PutCheckpoint(call.request, &scheduler);
    if (call.method == "SweepService/ListRuns") ListRuns(call.request);
    scheduler.Do(seedbed::core::Tick{});
  }
  return 0;
}
