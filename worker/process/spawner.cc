#include "worker/process/spawner.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/process/spawner_wire.h"

extern "C" void __tsan_init() __attribute__((weak));  // null where the program is not instrumented

namespace seedbed {
namespace {

using spawner_wire::Kind;
using spawner_wire::Message;
using spawner_wire::Stage;

absl::Status ErrnoStatus(const char* what) {
  return absl::InternalError(absl::StrCat(what, ": ", strerror(errno)));
}

absl::Status Send(int socket, const Message& message, const std::vector<int>& descriptors) {
  iovec part{const_cast<Message*>(&message), sizeof message};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * (spawner_wire::kMostDescriptors + 1))] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!descriptors.empty()) {
    const size_t bytes = sizeof(int) * descriptors.size();
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(bytes);
    memcpy(CMSG_DATA(rights), descriptors.data(), bytes);
  }
  ssize_t sent;
  do {
    sent = sendmsg(socket, &header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return absl::OkStatus();
  if (errno == EPIPE || errno == ECONNRESET) {
    return absl::UnavailableError("the spawner process is gone: no process can be started; restart this program");
  }
  return ErrnoStatus("talking to the spawner process");
}

// The request's strings in an anonymous file: a packet is too small for a large environment.
absl::StatusOr<UniqueFd> WriteStrings(const SpawnRequest& request) {
  std::string text = request.working_directory + '\0';
  for (const std::string& argument : request.argv) (text += argument) += '\0';
  for (const std::string& variable : request.environment) (text += variable) += '\0';
  UniqueFd file(memfd_create("spawn-request", MFD_CLOEXEC));
  if (!file) return ErrnoStatus("creating a memory file for a spawn request");
  for (size_t done = 0; done < text.size();) {
    const ssize_t written = write(file.get(), text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus("writing a spawn request");
    done += static_cast<size_t>(written);
  }
  return file;
}

absl::Status CheckRequest(const SpawnRequest& request) {
  if (request.argv.empty() || request.argv[0].empty()) return absl::InvalidArgumentError("no program named to spawn");
  if (request.file_descriptors.size() > spawner_wire::kMostDescriptors) {
    return absl::InvalidArgumentError(absl::StrCat("spawning ", request.argv[0], ": ", request.file_descriptors.size(),
                                                   " descriptors, at most ", spawner_wire::kMostDescriptors));
  }
  auto has_nul = [](const std::string& text) { return text.find('\0') != std::string::npos; };
  bool bad = has_nul(request.working_directory);
  for (const std::string& argument : request.argv) bad = bad || has_nul(argument);
  for (const std::string& variable : request.environment) bad = bad || has_nul(variable);
  if (bad) return absl::InvalidArgumentError(absl::StrCat("spawning ", request.argv[0].c_str(), ": a NUL in a string"));
  return absl::OkStatus();
}

std::string DescribeFailure(const Message& message) {
  const char* what = "reading the request";
  if (message.stage == Stage::kProcess) what = "making a process";
  if (message.stage == Stage::kWorkingDirectory) what = "entering the working directory";
  if (message.stage == Stage::kProgram) what = "executing the program";
  return absl::StrCat(what, ": ", strerror(static_cast<int>(message.value)));
}

ProcessEvent ToEvent(const Message& message) {
  const ProcessId process(message.process);
  if (message.kind == Kind::kSpawned) return ProcessSpawned{process, static_cast<pid_t>(message.value)};
  if (message.kind == Kind::kNotSpawned) return ProcessNotSpawned{process, DescribeFailure(message)};
  ProcessExited exited;
  exited.process = process;
  const int status = static_cast<int>(message.value);
  if (WIFSIGNALED(status)) {
    exited.signal = WTERMSIG(status);
  } else {
    exited.exit_status = WEXITSTATUS(status);
  }
  exited.cpu_seconds = static_cast<double>(message.cpu_microseconds) / 1e6;
  exited.peak_memory_bytes = message.peak_memory_bytes;
  return exited;
}

// 0 if /proc does not say.
size_t CountThreads() {
  std::error_code error;
  size_t count = 0;
  for (std::filesystem::directory_iterator thread("/proc/self/task", error), end; !error && thread != end;
       thread.increment(error)) {
    ++count;
  }
  return error ? 0 : count;
}

absl::Status CheckThatThereIsOneThread() {
  if (&__tsan_init != nullptr)
    return absl::OkStatus();  // ThreadSanitizer has a thread of its own, and stops it to fork
  // A thread that was joined is listed until the kernel is done with it.
  size_t threads = CountThreads();
  for (int attempt = 0; threads > 1 && attempt < 100; ++attempt) {
    const timespec moment{0, 1'000'000};
    nanosleep(&moment, nullptr);
    threads = CountThreads();
  }
  if (threads <= 1) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the spawner process has to be forked before any thread is started, and this process has ", threads,
                   "; this is a mistake in the program"));
}

}  // namespace

std::string DescribeExit(const ProcessExited& exit) {
  if (exit.signal == 0) return absl::StrCat("exited with status ", exit.exit_status);
  return absl::StrCat("killed by signal ", exit.signal, " (", strsignal(exit.signal), ")");
}

absl::StatusOr<std::unique_ptr<Spawner>> StartSpawner(const SpawnerOptions& options) {
  if (absl::Status status = CheckThatThereIsOneThread(); !status.ok()) return status;
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return ErrnoStatus("making a socket pair");
  UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  // A signal to the group must not hit the new process before it has left the group.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = fork();
  if (pid == 0) spawner_wire::ServeSpawner(theirs.release(), options.use_control_groups);
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  if (pid < 0) return ErrnoStatus("forking the spawner process");
  theirs.reset();
  auto spawner = std::make_unique<Spawner>(std::move(ours), pid);
  Message ready;
  ssize_t received;
  do {
    received = recv(spawner->event_fd(), &ready, sizeof ready, 0);
  } while (received < 0 && errno == EINTR);
  if (received != static_cast<ssize_t>(sizeof ready)) {
    return absl::InternalError("the spawner process did not start: /dev/null or /proc may be missing");
  }
  return spawner;
}

Spawner::~Spawner() {
  socket_.reset();
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

absl::StatusOr<ProcessId> Spawner::Spawn(const SpawnRequest& request) {
  if (absl::Status status = CheckRequest(request); !status.ok()) return status;
  absl::StatusOr<UniqueFd> strings = WriteStrings(request);
  if (!strings.ok()) return strings.status();
  Message message;
  message.kind = Kind::kSpawn;
  message.process = ++last_process_;
  message.argument_count = static_cast<uint32_t>(request.argv.size());
  message.environment_count = static_cast<uint32_t>(request.environment.size());
  message.descriptor_count = static_cast<uint32_t>(request.file_descriptors.size());
  std::vector<int> descriptors = {strings->get()};
  for (size_t i = 0; i < request.file_descriptors.size(); ++i) {
    if (request.file_descriptors[i] < 0) {
      message.null_descriptors |= uint64_t{1} << i;
    } else {
      descriptors.push_back(request.file_descriptors[i]);
    }
  }
  if (absl::Status status = Send(socket_.get(), message, descriptors); !status.ok()) return status;
  return ProcessId(message.process);
}

absl::Status Spawner::Signal(ProcessId process, int signal) {
  Message message;
  message.kind = Kind::kSignal;
  message.process = process.value();
  message.value = signal;
  return Send(socket_.get(), message, {});
}

absl::Status Spawner::KillTree(ProcessId process) {
  Message message;
  message.kind = Kind::kKillTree;
  message.process = process.value();
  return Send(socket_.get(), message, {});
}

absl::StatusOr<std::vector<ProcessEvent>> Spawner::ReadEvents() {
  std::vector<ProcessEvent> events;
  while (true) {
    Message message;
    const ssize_t received = recv(socket_.get(), &message, sizeof message, MSG_DONTWAIT);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return events;
    if (received == static_cast<ssize_t>(sizeof message)) {
      events.push_back(ToEvent(message));
      continue;
    }
    // What was said before the end is handed out first; the next call comes here again.
    if (!events.empty()) return events;
    return absl::UnavailableError("the spawner process is gone, and its child processes with it; restart this program");
  }
}

}  // namespace seedbed
