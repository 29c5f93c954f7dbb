#include "worker/process/process_engine_pool.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"

namespace seedbed {
namespace {

// Deadlines are seconds long, so they are looked at this often.
constexpr int kTurnMilliseconds = 100;
// A turn that took longer than this was a suspension, not work.
constexpr absl::Duration kLongestTurn = absl::Seconds(2);

constexpr uint64_t kWakeTag = ~uint64_t{0};
constexpr uint64_t kSpawnerTag = kWakeTag - 1;

uint64_t Tag(int engine, EngineRunner::Channel channel, uint32_t life) {
  return static_cast<uint64_t>(engine) << 40 | static_cast<uint64_t>(channel) << 32 | life;
}

}  // namespace

ProcessEnginePool::ProcessEnginePool(EnginePoolOptions options, Spawner* spawner, const Clock* clock)
    : options_(std::move(options)),
      spawner_(spawner),
      clock_(clock),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

ProcessEnginePool::~ProcessEnginePool() {
  abandoned_ = true;
  Post([](const Moment&) {});
  if (thread_.joinable()) thread_.join();
}

void ProcessEnginePool::Start(EventHandler handler) {
  handler_ = std::move(handler);
  thread_ = std::thread([this] { Run(); });
}

void ProcessEnginePool::Post(Command command) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    commands_.push_back(std::move(command));
  }
  const uint64_t one = 1;
  // It fails only when the counter is full, and then the thread is woken already.
  if (write(wake_.get(), &one, sizeof one) < 0) return;
}

void ProcessEnginePool::StartRun(AttemptStart start) {
  Post([this, start = std::move(start)](const Moment& now) {
    const bool known = start.engine >= 0 && start.engine < engine_count();
    if (known && Holder(start.attempt) == nullptr) {
      runners_[static_cast<size_t>(start.engine)]->StartRun(start, now);
      return;
    }
    AttemptEnded ended;
    ended.attempt = start.attempt;
    ended.end = AttemptEnd::kNotStarted;
    ended.reason = known ? "an attempt of this number is running" : absl::StrCat("there is no engine ", start.engine);
    Deliver(std::move(ended));
  });
}

void ProcessEnginePool::StopRun(AttemptId attempt, bool checkpoint) {
  Post([this, attempt, checkpoint](const Moment& now) {
    if (EngineRunner* runner = Holder(attempt)) runner->StopRun(attempt, checkpoint, now);
  });
}

void ProcessEnginePool::Checkpoint(AttemptId attempt) {
  Post([this, attempt](const Moment&) {
    if (EngineRunner* runner = Holder(attempt)) runner->Checkpoint(attempt);
  });
}

void ProcessEnginePool::PauseReading(AttemptId attempt) {
  Post([this, attempt](const Moment& now) {
    if (EngineRunner* runner = Holder(attempt)) runner->SetPaused(attempt, true, now);
  });
}

void ProcessEnginePool::ResumeReading(AttemptId attempt) {
  Post([this, attempt](const Moment& now) {
    if (EngineRunner* runner = Holder(attempt)) runner->SetPaused(attempt, false, now);
  });
}

void ProcessEnginePool::Shutdown() {
  Post([this](const Moment& now) {
    stopping_ = true;
    for (const auto& runner : runners_) runner->Shutdown(now);
  });
}

EngineRunner* ProcessEnginePool::Holder(AttemptId attempt) {
  for (const auto& runner : runners_) {
    if (runner->holds(attempt)) return runner.get();
  }
  return nullptr;
}

void ProcessEnginePool::Watch(int fd, uint32_t events, int engine, EngineRunner::Channel channel, uint32_t life) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = Tag(engine, channel, life);
  const bool known = watched_.count(fd) != 0;
  if (known && watched_[fd] == events) return;
  epoll_ctl(epoll_.get(), known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
  watched_[fd] = events;
}

void ProcessEnginePool::Unwatch(int fd) {
  if (watched_.erase(fd) != 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void ProcessEnginePool::Run() {
  // A pipe whose reader is gone raises SIGPIPE in the thread that writes; other signals are the main thread's.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  for (const auto& [fd, tag] : {std::pair{wake_.get(), kWakeTag}, std::pair{spawner_->event_fd(), kSpawnerTag}}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = tag;
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  }
  EngineRunner::Loop* loop = this;
  for (int i = 0; i < engine_count(); ++i) {
    runners_.push_back(
        std::make_unique<EngineRunner>(i, options_.engines[static_cast<size_t>(i)], options_.limits, spawner_, loop));
  }
  Serve();
  runners_.clear();
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, spawner_->event_fd(), nullptr);
}

void ProcessEnginePool::Serve() {
  last_turn_ = clock_->Now().monotonic;
  bool immediate = true;
  while (!abandoned_) {
    epoll_event ready[64];
    const int count = std::max(0, epoll_wait(epoll_.get(), ready, 64, immediate ? 0 : kTurnMilliseconds));
    immediate = false;
    const Moment now = clock_->Now();
    NoticeSuspension(now);
    TakeCommands(now);
    // Logs come last: they never delay metrics.
    for (const bool logs : {false, true}) {
      for (int i = 0; i < count; ++i) {
        const uint64_t tag = ready[i].data.u64;
        if (tag == kWakeTag || tag == kSpawnerTag) continue;
        const auto channel = static_cast<EngineRunner::Channel>(tag >> 32 & 0xff);
        if ((channel == EngineRunner::Channel::kLog) != logs) continue;
        runners_[tag >> 40]->OnIo(channel, static_cast<uint32_t>(tag), now);
      }
    }
    TakeProcessEvents(now);
    bool all_gone = stopping_;
    for (const auto& runner : runners_) {
      runner->Tick(now);
      all_gone = all_gone && runner->gone();
    }
    if (all_gone && !abandoned_) {
      Deliver(PoolStopped{});
      return;
    }
  }
}

void ProcessEnginePool::NoticeSuspension(const Moment& now) {
  const absl::Duration turn = now.monotonic - last_turn_;
  last_turn_ = now.monotonic;
  if (turn <= kLongestTurn) return;
  for (const auto& runner : runners_) runner->ExtendDeadlines(turn);
}

void ProcessEnginePool::TakeCommands(const Moment& now) {
  uint64_t count = 0;
  if (read(wake_.get(), &count, sizeof count) < 0) return;
  std::vector<Command> commands;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    commands.swap(commands_);
  }
  for (const Command& command : commands) {
    if (abandoned_) return;
    command(now);
  }
}

void ProcessEnginePool::TakeProcessEvents(const Moment& now) {
  if (spawner_gone_) return;
  absl::StatusOr<std::vector<ProcessEvent>> events = spawner_->ReadEvents();
  if (!events.ok()) {
    spawner_gone_ = stopping_ = true;
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, spawner_->event_fd(), nullptr);
    for (const auto& runner : runners_) runner->OnSpawnerGone(now);
    return;
  }
  for (const ProcessEvent& event : *events) {
    const ProcessId process = std::visit([](const auto& value) { return value.process; }, event);
    for (const auto& runner : runners_) {
      if (runner->process() == process) runner->OnProcessEvent(event, now);
    }
  }
}

}  // namespace seedbed
