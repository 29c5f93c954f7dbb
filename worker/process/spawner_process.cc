#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "worker/process/cgroup.h"
#include "worker/process/process_table.h"
#include "worker/process/spawn_child.h"
#include "worker/process/spawner_wire.h"
#include "worker/process/unique_fd.h"

// The spawner's own process: one thread, no lock, no library but the standard one.
namespace seedbed::spawner_wire {
namespace {

constexpr char kCookieVariable[] = "SEEDBED_SPAWNED_AS";
constexpr char kCgroupPrefix[] = "seedbed-process-";

std::string ReadText(const char* path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void SleepMilliseconds(int milliseconds) {
  const timespec duration{0, milliseconds * 1'000'000L};
  nanosleep(&duration, nullptr);
}

void CloseAllBut(int kept) {
  if (syscall(SYS_close_range, static_cast<unsigned>(kept) + 1, ~0U, 0U) == 0) {
    for (int fd = 0; fd < kept; ++fd) close(fd);
    return;
  }
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  for (int fd = 0; fd < static_cast<int>(limit.rlim_cur); ++fd) {
    if (fd != kept) close(fd);
  }
}

struct Child {
  pid_t pid = 0;
  std::optional<ChildCgroup> cgroup;
};

class SpawnerProcess {
 public:
  SpawnerProcess(int socket, bool use_control_groups) : socket_(socket), use_control_groups_(use_control_groups) {}

  [[noreturn]] void Serve() {
    Prepare();
    while (true) {
      pollfd ready[2] = {{socket_, POLLIN, 0}, {signals_, POLLIN, 0}};
      if (!outbox_.empty()) ready[0].events |= POLLOUT;
      if (poll(ready, 2, -1) < 0 && errno != EINTR) KillAllAndExit();
      if (ready[1].revents != 0) TakeSignals();
      // Replies leave only when the other side has room, so that neither waits for the other.
      if (!SendReplies()) KillAllAndExit();
      if (ready[0].revents != 0 && !ReceiveRequest()) KillAllAndExit();
    }
  }

 private:
  void Prepare() {
    prctl(PR_SET_NAME, "seedbed-spawner");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    // A session of its own: what a terminal or a killed process group sends is the worker's to decide on.
    setsid();
    for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGTSTP, SIGTTIN, SIGTTOU}) {
      ::signal(signal, SIG_IGN);
    }
    ::signal(SIGCHLD, SIG_DFL);
    socket_ = fcntl(socket_, F_DUPFD_CLOEXEC, 3);
    CloseAllBut(socket_);
    // 0, 1 and 2 stay occupied, so that no descriptor that matters gets such a number.
    for (int fd = 0; fd < 3; ++fd) {
      if (open("/dev/null", O_RDWR) != fd) _exit(127);
    }
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_SETMASK, &children, nullptr);
    signals_ = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    if (use_control_groups_)
      cgroup_parent_ = OwnCgroupDirectory(ReadText("/proc/self/mountinfo"), ReadText("/proc/self/cgroup"));
    RemoveEmptyCgroups(cgroup_parent_, kCgroupPrefix);
    Message ready;
    ready.kind = Kind::kReady;
    outbox_.push_back(ready);
    if (!SendReplies()) _exit(127);
  }

  void TakeSignals() {
    signalfd_siginfo info;
    while (read(signals_, &info, sizeof info) > 0) {
    }
    ReapDead();
  }

  bool SendReplies() {
    while (!outbox_.empty()) {
      const ssize_t sent = send(socket_, &outbox_.front(), sizeof(Message), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
      outbox_.pop_front();
    }
    return true;
  }

  // One request; false at end of file.
  bool ReceiveRequest() {
    Message message;
    iovec part{&message, sizeof message};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * (kMostDescriptors + 1))];
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const ssize_t received = recvmsg(socket_, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (received < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    if (received == 0) return false;
    std::vector<UniqueFd> descriptors;
    for (cmsghdr* rights = CMSG_FIRSTHDR(&header); rights != nullptr; rights = CMSG_NXTHDR(&header, rights)) {
      if (rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS) continue;
      const size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; ++i) {
        int fd;
        memcpy(&fd, CMSG_DATA(rights) + i * sizeof(int), sizeof fd);
        descriptors.emplace_back(fd);
      }
    }
    if (received != static_cast<ssize_t>(sizeof message)) return true;
    if (message.kind == Kind::kSpawn) Spawn(message, std::move(descriptors));
    if (message.kind == Kind::kSignal) Signal(message.process, static_cast<int>(message.value));
    if (message.kind == Kind::kKillTree) KillTree(message.process);
    return true;
  }

  void Spawn(const Message& request, std::vector<UniqueFd> descriptors) {
    Message reply;
    reply.process = request.process;
    ChildPlan plan;
    if (!ReadPlan(request, std::move(descriptors), &plan)) {
      reply.kind = Kind::kNotSpawned;
      reply.value = EBADMSG;
      outbox_.push_back(reply);
      return;
    }
    // An orphan that left the session is still known by this.
    plan.environment.push_back(std::string(kCookieVariable) + "=" + Cookie(request.process));
    Child child{0, ChildCgroup::Create(cgroup_parent_, kCgroupPrefix + Cookie(request.process))};
    plan.cgroup_procs = child.cgroup ? child.cgroup->procs_fd() : -1;
    const ChildStart start = StartChild(plan);
    if (start.error == 0) {
      reply.kind = Kind::kSpawned;
      reply.value = start.pid;
      child.pid = start.pid;
      process_by_pid_[start.pid] = request.process;
      children_.emplace(request.process, std::move(child));
    } else {
      reply.kind = Kind::kNotSpawned;
      reply.stage = start.stage;
      reply.value = start.error;
    }
    outbox_.push_back(reply);
  }

  std::string Cookie(int64_t process) const { return std::to_string(getpid()) + "-" + std::to_string(process); }

  void Signal(int64_t process, int signal) {
    const auto found = children_.find(process);
    if (found != children_.end()) kill(-found->second.pid, signal);
  }

  void KillTree(int64_t process) {
    const auto found = children_.find(process);
    if (found == children_.end()) return;
    if (found->second.cgroup) found->second.cgroup->Kill();
    kill(-found->second.pid, SIGKILL);
    KillDescendants(process, found->second.pid);
  }

  // One pass over /proc; returns how many were alive.
  int KillDescendants(int64_t process, pid_t pid) {
    const std::map<pid_t, ProcessEntry> table = ReadProcessTable();
    int alive = 0;
    for (const auto& [candidate, entry] : table) {
      if (entry.state == 'Z' || !BelongsTo(table, candidate, process, pid)) continue;
      kill(candidate, SIGKILL);
      ++alive;
    }
    return alive;
  }

  bool BelongsTo(const std::map<pid_t, ProcessEntry>& table, pid_t candidate, int64_t process, pid_t pid) const {
    const pid_t top = TopBelow(table, getpid(), candidate);
    if (top == 0) return false;
    if (top == pid) return true;
    if (process_by_pid_.count(top) != 0) return false;  // another child's
    // An orphan that was handed to this process, or below one: its session or its environment says whose it was.
    return table.at(candidate).session == pid || ReadProcessVariable(candidate, kCookieVariable) == Cookie(process);
  }

  void ReapDead() {
    while (true) {
      siginfo_t info{};
      // Only looked at, at first: while the leader is a zombie its pid, and so its session's number, cannot be reused.
      if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
      const auto found = process_by_pid_.find(info.si_pid);
      if (found != process_by_pid_.end()) KillLeftovers(found->second, info.si_pid);
      int status = 0;
      rusage usage{};
      if (wait4(info.si_pid, &status, WNOHANG, &usage) != info.si_pid) continue;
      if (found == process_by_pid_.end()) continue;
      Message reply;
      reply.kind = Kind::kExited;
      reply.process = found->second;
      reply.value = status;
      reply.cpu_microseconds = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000LL + usage.ru_utime.tv_usec +
                               usage.ru_stime.tv_usec;
      reply.peak_memory_bytes = usage.ru_maxrss * 1024LL;
      outbox_.push_back(reply);
      children_.erase(found->second);
      process_by_pid_.erase(found);
    }
  }

  // What a dead child left running goes with it: nobody watches it any more.
  void KillLeftovers(int64_t process, pid_t pid) {
    if (const auto found = children_.find(process); found != children_.end() && found->second.cgroup) {
      found->second.cgroup->Kill();
    }
    // Bounded, as a process in an uninterruptible wait dies only later.
    for (int pass = 0; pass < 50 && KillDescendants(process, pid) > 0; ++pass) SleepMilliseconds(2);
  }

  [[noreturn]] void KillAllAndExit() {
    for (const auto& [process, child] : children_) {
      if (child.cgroup) child.cgroup->Kill();
    }
    // All orphans come to this subreaper, so "no child" means "no descendant".
    while (true) {
      const std::map<pid_t, ProcessEntry> table = ReadProcessTable();
      for (const auto& [candidate, entry] : table) {
        if (entry.state != 'Z' && TopBelow(table, getpid(), candidate) != 0) kill(candidate, SIGKILL);
      }
      pid_t reaped;
      do {
        reaped = waitpid(-1, nullptr, WNOHANG);
      } while (reaped > 0);
      if (reaped < 0 && errno == ECHILD) break;
      SleepMilliseconds(2);
    }
    children_.clear();
    _exit(0);
  }

  int socket_;
  const bool use_control_groups_;
  int signals_ = -1;
  std::string cgroup_parent_;
  std::map<int64_t, Child> children_;
  std::map<pid_t, int64_t> process_by_pid_;
  std::deque<Message> outbox_;
};

}  // namespace

void ServeSpawner(int socket, bool use_control_groups) {
  SpawnerProcess(socket, use_control_groups).Serve();
}

}  // namespace seedbed::spawner_wire
