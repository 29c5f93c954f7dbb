// What a coordinator answers, read as the worker reads it and given to a worker's agent: whatever it says, the agent
// neither spins nor breaks its engines' order, and it stops when it is told to.
#include <cstdint>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "seedbed/v1/worker_service.pb.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/messages.h"
#include "worker/agent/testing/agent_world.h"
#include "worker/client/convert.h"

namespace seedbed::fuzz {
namespace {

class Worker {
 public:
  Worker() : world_(/*slots=*/2) {
    world_.EngineReady(0);
    world_.EngineReady(1);
    world_.Settle();
  }

  void Synchronized(const std::string& bytes) {
    v1::SynchronizeResponse response;
    if (!response.ParseFromString(bytes)) return;
    agent::SynchronizeAnswer answer = client::FromProto(response);
    Require(answer.start.size() == static_cast<size_t>(response.start_size()), "every grant is read");
    Require(answer.stop.size() == static_cast<size_t>(response.stop_size()), "every stop is read");
    if (world_.link.calls.empty()) world_.Pass(absl::Seconds(5));
    if (world_.link.calls.empty()) return;  // the last answer asked for a longer pause
    world_.Answer(world_.Call().number, std::move(answer));
  }

  void Reported(const std::string& bytes) {
    v1::ReportResponse response;
    if (!response.ParseFromString(bytes)) return;
    world_.agent->OnLinkEvent(agent::ReportAnswered{stream_, client::FromProto(response)}, world_.clock.Now());
  }

  // Engines and files do what they were told.
  void React() {
    while (!world_.pool.starts.empty()) {
      const int64_t attempt = world_.pool.starts.front().attempt.value();
      Require(world_.pool.starts.front().specification.is_object(), "an engine gets a specification");
      world_.pool.starts.pop_front();
      world_.Metrics(attempt, {0, 1});
      if (attempt % 2 == 0) world_.Ended(attempt, AttemptEnd::kFinished, 10);
    }
    while (!world_.pool.commands.empty()) {
      const std::string command = world_.pool.commands.front();
      world_.pool.commands.pop_front();
      if (command == "shutdown") world_.agent->OnEngineEvent(PoolStopped{}, world_.clock.Now());
      if (command.rfind("stop ", 0) != 0) continue;
      world_.Ended(std::stoll(command.substr(command.rfind(' ') + 1)), AttemptEnd::kStopped);
    }
    for (const agent::CheckpointDownload& each : std::exchange(world_.link.downloads, {})) {
      world_.agent->OnLinkEvent(agent::CheckpointGot{each.lease, each.step, each.path, absl::OkStatus()},
                                world_.clock.Now());
    }
    for (const agent::CheckpointUpload& each : std::exchange(world_.link.uploads, {})) {
      world_.agent->OnLinkEvent(agent::CheckpointPut{each.lease, each.step, agent::CheckpointFate::kStored, 5, ""},
                                world_.clock.Now());
    }
    if (!world_.link.streams.empty()) stream_ = world_.link.streams.back();
    world_.link.streams.clear();
    world_.link.reports.clear();
    world_.Settle();
  }

  void Stop() {
    world_.agent->BeginShutdown(world_.clock.Now());
    for (int i = 0; i < 60 && !world_.agent->done(); ++i) {
      React();
      for (const agent::SynchronizeRequest& call : std::exchange(world_.link.calls, {})) {
        world_.Answer(call.number, absl::UnavailableError("gone"));
      }
      world_.Pass(absl::Seconds(1));
    }
    Require(world_.agent->done(), "a worker that is told to stop does");
    React();
    world_.link.calls.clear();
    world_.pool.commands.clear();
  }

 private:
  agent::World world_;
  int64_t stream_ = 1;
};

}  // namespace
}  // namespace seedbed::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace seedbed::fuzz;  // NOLINT: the entry point has to be global
  // What the world expects is required here.
  GTEST_FLAG_SET(throw_on_failure, true);
  Worker worker;
  for (const Call& call : CallsOf(data, size, Side::kAnswers)) {
    if (call.method == "WorkerService/Synchronize") worker.Synchronized(call.request);
    if (call.method == "WorkerService/Report") worker.Reported(call.request);
    worker.React();
  }
  worker.Stop();
  return 0;
}
