// An engine without training, for tests: it speaks the engine protocol, its metrics are pure functions (fake_run.h),
// and it misbehaves on request. All is chosen by the environment:
//   SEEDBED_FAKE_BEHAVIOUR          what to do, one of
//       normal
//       crash, kill, exit, exit_0    end by SIGSEGV, by SIGKILL, with status 3, with status 0
//       hang                         say and read nothing more
//       busy                         announce 60 s, then hang
//       close_output                 close the output, then hang
//       grandchild                   leave a process outside the session, then go on
//       log_flood                    write 100 MB to stderr, then go on
//       flood                        queue 64 MiB of messages, then go on
//       deaf_flood                   the same, and read nothing before they are written
//       garbage, huge_line, unknown_run, repeated_step  break the protocol in that way
//       fail, out_of_memory          report that the run has failed
//       ignore_stop, ignore_shutdown for the whole life
//       never_ready, exit_at_start   for the whole life
//     default: normal
//   SEEDBED_FAKE_AT_STEP            at which step of a run; default 0
//   SEEDBED_FAKE_ONLY_SEED          only in runs of this seed
//   SEEDBED_FAKE_ONCE               path: only if no file is there yet; it is created when the behaviour shows
//   SEEDBED_FAKE_STEP_MILLISECONDS  time per step; default 0
//   SEEDBED_FAKE_CAPACITY           runs at once; default SEEDBED_ENGINE_CAPACITY, else 1
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "worker/process/line_io.h"
#include "worker/process/testing/fake_run.h"

namespace seedbed::testing {
namespace {

constexpr size_t kMostPendingOutput = 1 << 20;

std::string Variable(const char* name, const char* otherwise) {
  const char* value = getenv(name);
  return value == nullptr ? otherwise : value;
}

int64_t NumberVariable(const char* name, int64_t otherwise) {
  const char* value = getenv(name);
  return value == nullptr ? otherwise : atoll(value);
}

[[noreturn]] void HangForever() {
  while (true) pause();
}

// A process that has left the engine's session and holds all of its descriptors.
void LeaveGrandchild() {
  if (fork() != 0) return;
  setsid();
  if (fork() != 0) _exit(0);
  HangForever();
}

class FakeEngine {
 public:
  int Serve() {
    input_ = static_cast<int>(NumberVariable("SEEDBED_ENGINE_INPUT_FD", -1));
    output_ = static_cast<int>(NumberVariable("SEEDBED_ENGINE_OUTPUT_FD", -1));
    if (input_ < 0 || output_ < 0) {
      fprintf(stderr,
              "fake_engine: to be started by a worker, with SEEDBED_ENGINE_INPUT_FD and SEEDBED_ENGINE_OUTPUT_FD\n");
      return 2;
    }
    for (const int fd : {input_, output_}) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    if (behaviour_ == "never_ready") HangForever();
    if (behaviour_ == "exit_at_start") {
      fprintf(stderr, "fake_engine: cannot find libfake.so\n");
      return 3;
    }
    if (behaviour_ == "refuse") {
      fprintf(stderr, "fake_engine: there is no such device\n");
      return 2;
    }
    Say({{"type", "ready"},
         {"protocol", 1},
         {"engine", "fake_engine 1"},
         {"trainers", {"modular"}},
         {"capacity", NumberVariable("SEEDBED_FAKE_CAPACITY", NumberVariable("SEEDBED_ENGINE_CAPACITY", 1))},
         {"device", "cpu"},
         {"memory_bytes", 0},
         {"numerics", {{"implementation", "fake"}}},
         {"pack_parameters", {"optimizer.learning_rate", "optimizer.weight_decay"}}});
    while (!leaving_ || !pending_.empty()) Turn();
    return 0;
  }

 private:
  bool blocked() const { return pending_.size() > kMostPendingOutput; }

  void Turn() {
    pollfd ready[2] = {{input_, POLLIN, 0}, {output_, 0, 0}};
    if (!pending_.empty()) ready[1].events = POLLOUT;
    int timeout = -1;
    if (!runs_.empty() && !blocked()) {
      timeout = static_cast<int>(std::max<int64_t>(0, absl::ToInt64Milliseconds(next_step_ - absl::Now())));
    }
    poll(ready, 2, timeout);
    if (ready[1].revents != 0 && pending_.WriteTo(output_) == IoResult::kEnd) _exit(1);
    if (ready[0].revents != 0) TakeInput();
    if (runs_.empty() || blocked() || absl::Now() < next_step_) return;
    next_step_ = absl::Now() + absl::Milliseconds(NumberVariable("SEEDBED_FAKE_STEP_MILLISECONDS", 0));
    StepAll();
  }

  void Say(const Json& message) { pending_.Push(message.dump() + "\n"); }

  void TakeInput() {
    const IoResult result = lines_.ReadFrom(input_);
    std::string_view line;
    while (lines_.NextLine(&line)) TakeMessage(Json::parse(line));
    if (result == IoResult::kEnd) leaving_ = true;
    if (leaving_) runs_.clear();
    if (leaving_ && behaviour_ == "ignore_shutdown") HangForever();
  }

  void TakeMessage(const Json& message) {
    const std::string type = message.at("type").get<std::string>();
    if (type == "shutdown") leaving_ = true;
    if (type == "start") {
      absl::StatusOr<FakeRun> run = FakeRun::FromStart(message);
      if (!run.ok()) {
        Say({{"type", "failed"},
             {"run", message.at("run")},
             {"kind", "error"},
             {"reason", std::string(run.status().message())}});
        return;
      }
      printf("run %lld starts at step %lld\n", static_cast<long long>(run->id()), static_cast<long long>(run->step()));
      fflush(stdout);
      runs_.emplace(run->id(), *run);
    }
    if (type != "checkpoint" && type != "stop") return;
    const auto found = runs_.find(message.at("run").get<int64_t>());
    if (found == runs_.end() || (type == "stop" && behaviour_ == "ignore_stop")) return;
    if (type == "checkpoint" || message.at("checkpoint").get<bool>()) TakeCheckpoint(found->second);
    if (type == "stop") {
      Say({{"type", "stopped"}, {"run", found->first}, {"last_step", std::max<int64_t>(0, found->second.step() - 1)}});
      runs_.erase(found);
    }
  }

  void TakeCheckpoint(const FakeRun& run) {
    if (run.step() == 0) return;
    absl::StatusOr<Json> message = run.WriteCheckpoint();
    if (message.ok()) Say(*message);
  }

  // Of the last step, whose row has just been said.
  void TakeFinalCheckpoint(FakeRun run) {
    run.Advance();
    TakeCheckpoint(run);
  }

  void StepAll() {
    std::vector<int64_t> ended;
    for (auto& [id, run] : runs_) {
      if (Misbehave(run)) {
        ended.push_back(id);
        continue;
      }
      if (run.HasRow()) Say(run.MetricsMessage());
      if (absl::Now() >= next_alive_) Say({{"type", "alive"}, {"run", id}, {"step", run.step()}});
      if (run.done()) {
        if (run.wants_final_checkpoint()) TakeFinalCheckpoint(run);
        Say(run.FinishedMessage());
        ended.push_back(id);
      }
      run.Advance();
    }
    if (absl::Now() >= next_alive_) next_alive_ = absl::Now() + absl::Seconds(1);
    for (const int64_t id : ended) runs_.erase(id);
  }

  bool IsTurnOf(const FakeRun& run) const {
    if (behaviour_ == "normal" || run.step() != NumberVariable("SEEDBED_FAKE_AT_STEP", 0)) return false;
    if (getenv("SEEDBED_FAKE_ONLY_SEED") != nullptr && run.seed() != NumberVariable("SEEDBED_FAKE_ONLY_SEED", 0)) {
      return false;
    }
    const std::string once = Variable("SEEDBED_FAKE_ONCE", "");
    if (once.empty()) return true;
    const int file = open(once.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (file >= 0) close(file);
    return file >= 0;
  }

  // What else was said comes first. Returns true if the run has ended by this.
  bool Misbehave(const FakeRun& run) {
    if (!IsTurnOf(run)) return false;
    if (behaviour_ != "flood") WriteAll();
    if (behaviour_ == "crash") {
      signal(SIGSEGV, SIG_DFL);  // sanitizers would make another end of it
      raise(SIGSEGV);
    }
    if (behaviour_ == "kill") raise(SIGKILL);
    if (behaviour_ == "exit") _exit(3);
    if (behaviour_ == "exit_0") _exit(0);
    if (behaviour_ == "hang") HangForever();
    if (behaviour_ == "grandchild") LeaveGrandchild();
    if (behaviour_ == "close_output") {
      close(output_);
      HangForever();
    }
    if (behaviour_ == "log_flood") FloodLog();
    if (behaviour_ == "flood" || behaviour_ == "deaf_flood") Flood(run);
    if (behaviour_ == "deaf_flood") WriteAll();
    if (behaviour_ == "garbage") pending_.Push("this is not JSON\n");
    if (behaviour_ == "huge_line") pending_.Push(std::string((16 << 20) + 4096, 'x'));
    if (behaviour_ == "unknown_run") Say({{"type", "alive"}, {"run", run.id() + 1000}, {"step", 0}});
    if (behaviour_ == "repeated_step") Say(run.MetricsMessage());
    if (behaviour_ == "busy") Say({{"type", "busy"}, {"run", run.id()}, {"seconds", 60}, {"reason", "compiling"}});
    if (behaviour_ == "busy") HangForever();
    if (behaviour_ != "fail" && behaviour_ != "out_of_memory") return false;
    Say({{"type", "failed"},
         {"run", run.id()},
         {"kind", behaviour_ == "fail" ? "error" : "out_of_memory"},
         {"reason", "as the test wished"}});
    return true;
  }

  void WriteAll() {
    while (!pending_.empty()) {
      pollfd writable{output_, POLLOUT, 0};
      poll(&writable, 1, -1);
      if (pending_.WriteTo(output_) == IoResult::kEnd) _exit(1);
    }
  }

  // 100 MB.
  static void FloodLog() {
    std::string lines;
    while (lines.size() < 100'000) lines += std::string(99, 'l') + "\n";
    for (int i = 0; i < 1000; ++i) fwrite(lines.data(), 1, lines.size(), stderr);
  }

  // 64 MiB of messages at once.
  void Flood(const FakeRun& run) {
    const std::string reason(64 << 10, 'r');
    for (int i = 0; i < 1024; ++i) {
      Say({{"type", "busy"}, {"run", run.id()}, {"seconds", 1}, {"reason", reason}});
    }
  }

  const std::string behaviour_ = Variable("SEEDBED_FAKE_BEHAVIOUR", "normal");
  int input_ = -1;
  int output_ = -1;
  LineReader lines_{16 << 20};
  WriteQueue pending_;
  std::map<int64_t, FakeRun> runs_;
  absl::Time next_step_ = absl::InfinitePast();
  absl::Time next_alive_ = absl::InfinitePast();
  bool leaving_ = false;
};

}  // namespace
}  // namespace seedbed::testing

int main() {
  // A crash on purpose leaves no core file.
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  signal(SIGPIPE, SIG_IGN);
  return seedbed::testing::FakeEngine().Serve();
}
