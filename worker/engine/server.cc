#include "worker/engine/server.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"
#include "common/schema/run_specification.h"
#include "worker/engine/gpu.h"
#include "worker/engine/line_channel.h"
#include "worker/engine/messages.h"
#include "worker/engine/numerics.h"
#include "worker/engine/pack.h"
#include "worker/engine/stacked_pack.h"

namespace seedbed::engine {
namespace {

struct CheckpointCommand {
  int64_t run = 0;
};
struct StopCommand {
  int64_t run = 0;
  bool checkpoint = false;
};
struct ShutDownCommand {};
// A start that cannot be used, and why.
struct WrongStart {
  int64_t run = 0;
  absl::Status status;
};
using Command = std::variant<RunRequest, WrongStart, CheckpointCommand, StopCommand, ShutDownCommand>;

// From the thread that talks to the thread that trains. Thread-safe.
class CommandQueue {
 public:
  void Push(Command command) {
    const std::lock_guard<std::mutex> lock(mutex_);
    commands_.push_back(std::move(command));
    has_some_ = true;
    changed_.notify_all();
  }
  // All that there are, in their order; with `wait`, at least one.
  std::vector<Command> Take(bool wait) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (wait) changed_.wait(lock, [&] { return !commands_.empty(); });
    has_some_ = false;
    return std::exchange(commands_, {});
  }
  bool HasSome() const { return has_some_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Command> commands_;  // guarded by mutex_
  std::atomic<bool> has_some_{false};
};

// Does what the commands say to a pack.
class Trainer {
 public:
  Trainer(Pack* pack, LineChannel* channel) : pack_(pack), channel_(channel) {}

  void operator()(RunRequest& request) const { pack_->Start(std::move(request)); }
  void operator()(WrongStart& start) const {
    channel_->Send(FailedMessage(start.run, FailureKind::kError, std::string(start.status.message())));
  }
  void operator()(CheckpointCommand& command) const { pack_->Checkpoint(command.run); }
  void operator()(StopCommand& command) const { pack_->Stop(command.run, command.checkpoint); }
  void operator()(ShutDownCommand&) {
    pack_->StopAll(false);
    is_shut_down_ = true;
  }
  bool is_shut_down() const { return is_shut_down_; }

 private:
  Pack* const pack_;
  LineChannel* const channel_;
  bool is_shut_down_ = false;
};

// The places that a stacked engine's runs are given.
std::unique_ptr<StackedPlaces> MakePlaces(const EngineSettings& settings) {
  if (GpuIndex(settings.device) >= 0) UseGpuFromThisThread(GpuIndex(settings.device));
  if (!settings.measures_capacity) return std::make_unique<StackedPlaces>(settings.device, settings.capacity);
  const auto measure = [settings](const RunParameters& run) {
    return MeasureGpuCapacity(settings.device, settings.capacity, run);
  };
  // Until the first run says what its shape is, for one of the defaults.
  const absl::StatusOr<RunParameters> defaults = ReadRunParameters(Json::object());
  const absl::StatusOr<int> capacity = defaults.ok() ? measure(*defaults) : absl::StatusOr<int>(defaults.status());
  return std::make_unique<StackedPlaces>(settings.device, capacity.value_or(1), settings.capacity, measure);
}

void TrainRuns(const EngineSettings& settings, CommandQueue* commands, LineChannel* channel) {
  SetUpTrainingThread();
  PackSettings pack_settings;
  pack_settings.capacity = settings.capacity;
  pack_settings.numerics = NumericsFingerprint();
  int64_t memory_bytes = PhysicalMemoryBytes();
  std::unique_ptr<StackedPlaces> places;
  if (settings.is_stacked) {
    places = MakePlaces(settings);
    const int gpu = GpuIndex(settings.device);
    if (gpu >= 0) memory_bytes = DescribeGpu(gpu).total_bytes;
    pack_settings.is_stacked = true;
    pack_settings.on_gpu = gpu >= 0;
    pack_settings.turn = std::chrono::milliseconds(0);
    pack_settings.capacity = places->capacity();
    pack_settings.numerics = StackedNumericsFingerprint(settings.device, places->capacity());
    pack_settings.make_learner = [&](const RunParameters& run, uint64_t seed) { return places->Take(run, seed); };
    pack_settings.shrink = [&] { places->Shrink(); };
  }
  const auto announce = [&](const Json& numerics, int capacity) {
    channel->Send(ReadyMessage(numerics, settings.device, memory_bytes, capacity));
  };
  announce(pack_settings.numerics, pack_settings.capacity);
  Pack pack(pack_settings, [&](std::string message) { channel->Send(std::move(message)); });
  if (places != nullptr) {
    places->OnCapacityChange([&](int capacity) {
      const Json numerics = StackedNumericsFingerprint(settings.device, capacity);
      pack.SetCapacity(capacity, numerics);
      announce(numerics, capacity);
    });
  }
  Trainer trainer(&pack, channel);
  while (!trainer.is_shut_down() || !pack.is_empty()) {
    for (Command& command : commands->Take(pack.is_empty())) std::visit(trainer, command);
    channel->WaitForRoom([&] { return commands->HasSome() || trainer.is_shut_down(); });
    pack.Advance();
  }
  channel->Close();
}

// Carries the worker's messages out. An error means that the worker does not speak the protocol.
class Listener {
 public:
  Listener(CommandQueue* commands, LineChannel* channel) : commands_(commands), channel_(channel) {}

  absl::Status Hear(const std::string& line) {
    SEEDBED_ASSIGN_OR_RETURN(const Json message, ParseJson(line, "a message"));
    const auto type = message.is_object() ? message.find("type") : message.end();
    if (!message.is_object() || type == message.end() || !type->is_string()) {
      return absl::InvalidArgumentError(absl::StrCat("expected an object with a type, got: ", line.substr(0, 200)));
    }
    if (*type == "shutdown") {
      ShutDown();
      return absl::OkStatus();
    }
    const auto run = message.find("run");
    if (run == message.end() || !run->is_number_integer()) {
      return absl::InvalidArgumentError(absl::StrCat("expected an integer at 'run' in: ", line.substr(0, 200)));
    }
    const auto id = run->get<int64_t>();
    if (*type == "start") {
      Command start = StartCommand(id, message);
      Push(std::move(start));
    } else if (*type == "stop") {
      Push(StopCommand{id, message.value("checkpoint", Json(false)) == Json(true)});
    } else if (*type == "checkpoint") {
      Push(CheckpointCommand{id});
    } else {
      return absl::InvalidArgumentError(absl::StrCat("there is no message of type ", type->dump()));
    }
    return absl::OkStatus();
  }

  void ShutDown() { Push(ShutDownCommand()); }

 private:
  void Push(Command command) {
    commands_->Push(std::move(command));
    channel_->Notify();
  }

  // The string at `key`, or none where it is null or missing.
  static absl::StatusOr<std::optional<std::string>> PathAt(const Json& message, const char* key) {
    const auto found = message.find(key);
    if (found == message.end() || found->is_null()) return std::optional<std::string>();
    if (found->is_string()) return std::optional<std::string>(found->get<std::string>());
    return absl::InvalidArgumentError(absl::StrCat("expected a path or null at '", key, "' of the start message"));
  }

  static absl::StatusOr<RunRequest> ReadStart(int64_t run, const Json& message) {
    RunRequest request;
    request.run = run;
    const auto specification = message.find("specification");
    if (specification == message.end()) {
      return absl::InvalidArgumentError("the start message has no specification");
    }
    SEEDBED_ASSIGN_OR_RETURN(request.specification, RunSpecificationFromJson(*specification));
    SEEDBED_ASSIGN_OR_RETURN(const std::optional<std::string> directory, PathAt(message, "directory"));
    request.directory = directory.value_or(".");
    SEEDBED_ASSIGN_OR_RETURN(request.resume, PathAt(message, "resume"));
    request.final_checkpoint = message.value("final_checkpoint", Json(false)) == Json(true);
    return request;
  }

  static Command StartCommand(int64_t run, const Json& message) {
    absl::StatusOr<RunRequest> request = ReadStart(run, message);
    if (!request.ok()) return WrongStart{run, request.status()};
    return *std::move(request);
  }

  CommandQueue* const commands_;
  LineChannel* const channel_;
};

// A descriptor that becomes readable at SIGTERM or SIGINT, which are blocked from here on in this thread and those it
// starts.
int SignalDescriptor() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

}  // namespace

int ServeEngine(int input_fd, int output_fd, const EngineSettings& settings) {
  const int signal_fd = SignalDescriptor();
  CommandQueue commands;
  LineChannel channel(input_fd, output_fd, signal_fd);
  Listener listener(&commands, &channel);
  std::thread trainer(TrainRuns, settings, &commands, &channel);

  LineChannel::Handlers handlers;
  handlers.on_line = [&](const std::string& line) { return listener.Hear(line); };
  handlers.on_end_of_input = [&] { listener.ShutDown(); };
  handlers.on_end_of_output = [&] { listener.ShutDown(); };
  const absl::Status status = channel.Run(handlers);
  listener.ShutDown();
  trainer.join();
  close(signal_fd);
  if (status.ok()) return 0;
  std::cerr << "seedbed-engine: the worker broke the engine protocol: " << status.message() << std::endl;
  return 2;
}

}  // namespace seedbed::engine
