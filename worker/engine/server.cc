#include "worker/engine/server.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <iostream>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"
#include "common/schema/run_specification.h"
#include "worker/engine/line_channel.h"
#include "worker/engine/messages.h"
#include "worker/engine/numerics.h"
#include "worker/engine/training.h"

namespace seedbed::engine {
namespace {

constexpr int kCapacity = 1;  // on a CPU one run per thread is fastest

struct StartRequest {
  int64_t run = 0;
  absl::StatusOr<RunSpecification> specification = absl::UnknownError("not read");
};

// The place where the one run is trained, shared by the thread that talks and the thread that trains. Thread-safe.
class Place {
 public:
  // False if it is taken.
  bool Start(StartRequest request) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (run_) return false;
    run_ = request.run;
    request_ = std::move(request);
    stop_is_wanted_ = false;
    changed_.notify_all();
    return true;
  }
  // Does nothing for a run that is not in the place: it may have just ended.
  void Stop(int64_t run) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (run_ == run) stop_is_wanted_ = true;
  }
  void ShutDown() {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_shut_down_ = true;
    stop_is_wanted_ = true;
    changed_.notify_all();
  }
  // Waits for a run to train; none after ShutDown, but for one that was already given: each is to be answered.
  std::optional<StartRequest> Take() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return is_shut_down_ || request_.has_value(); });
    std::optional<StartRequest> request = std::move(request_);
    request_.reset();
    return request;
  }
  void Free() {
    const std::lock_guard<std::mutex> lock(mutex_);
    run_.reset();
  }
  bool StopIsWanted() const { return stop_is_wanted_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<int64_t> run_;  // guarded by mutex_, as the next two
  std::optional<StartRequest> request_;
  bool is_shut_down_ = false;
  std::atomic<bool> stop_is_wanted_{false};
};

void TrainRuns(Place* place, LineChannel* channel) {
  SetUpTrainingThread();
  channel->Send(ReadyMessage(NumericsFingerprint(), "cpu", PhysicalMemoryBytes(), kCapacity));
  const auto send = [&](std::string message) { channel->Send(std::move(message)); };
  const auto is_stopped = [&] { return place->StopIsWanted(); };
  const auto wants_stop = [&] {
    if (is_stopped()) return true;
    channel->WaitForRoom(is_stopped);
    return is_stopped();
  };
  while (const std::optional<StartRequest> request = place->Take()) {
    std::string last_message =
        request->specification.ok()
            ? TrainRun(request->run, *request->specification, send, wants_stop)
            : FailedMessage(request->run, FailureKind::kError, std::string(request->specification.status().message()));
    place->Free();  // first: who reads the message may start another run at once
    channel->Send(std::move(last_message));
  }
  channel->Close();
}

// Carries the worker's messages out. An error means that the worker does not speak the protocol.
class Listener {
 public:
  Listener(Place* place, LineChannel* channel) : place_(place), channel_(channel) {}

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
    if (*type == "start") return Start(run->get<int64_t>(), message);
    if (*type == "stop") {
      place_->Stop(run->get<int64_t>());
      channel_->Notify();
      return absl::OkStatus();
    }
    if (*type == "checkpoint") {
      std::cerr << "seedbed-engine: writes no checkpoints (its `ready` says so); run " << *run << " goes on"
                << std::endl;
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat("there is no message of type ", type->dump()));
  }

  void ShutDown() {
    place_->ShutDown();
    channel_->Notify();
  }

 private:
  absl::Status Start(int64_t run, const Json& message) {
    StartRequest request;
    request.run = run;
    const auto specification = message.find("specification");
    const auto resume = message.find("resume");
    if (specification == message.end()) {
      request.specification = absl::InvalidArgumentError("the start message has no specification");
    } else if (resume != message.end() && !resume->is_null()) {
      request.specification =
          absl::UnimplementedError("this engine resumes from no checkpoint (its `ready` says so); start the run anew");
    } else {
      request.specification = RunSpecificationFromJson(*specification);
    }
    if (!place_->Start(std::move(request))) {
      channel_->Send(FailedMessage(run, FailureKind::kError, "the engine has no free place: wait for a run to end"));
    }
    return absl::OkStatus();
  }

  Place* const place_;
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

int ServeEngine(int input_fd, int output_fd) {
  const int signal_fd = SignalDescriptor();
  Place place;
  LineChannel channel(input_fd, output_fd, signal_fd);
  Listener listener(&place, &channel);
  std::thread trainer(TrainRuns, &place, &channel);

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
