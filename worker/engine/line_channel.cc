#include "worker/engine/line_channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace seedbed::engine {
namespace {

constexpr std::chrono::seconds kPatienceAfterEndOfInput(5);

void MakeNonBlocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags >= 0) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

}  // namespace

LineChannel::LineChannel(int input_fd, int output_fd, int signal_fd)
    : input_fd_(input_fd),
      output_fd_(output_fd),
      signal_fd_(signal_fd),
      wake_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  MakeNonBlocking(input_fd_);
  MakeNonBlocking(output_fd_);
}

LineChannel::~LineChannel() {
  close(wake_fd_);
}

void LineChannel::Send(std::string line) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (output_has_ended_) return;
    line.push_back('\n');
    queued_bytes_ += line.size();
    queue_.push_back(std::move(line));
  }
  Notify();
}

void LineChannel::Close() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_closed_ = true;
  }
  Notify();
}

void LineChannel::Notify() {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then Run is awake anyway.
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof(one));
  const std::lock_guard<std::mutex> lock(mutex_);
  room_.notify_all();
}

void LineChannel::WaitForRoom(const std::function<bool()>& is_cancelled) {
  std::unique_lock<std::mutex> lock(mutex_);
  room_.wait(lock, [&] { return queued_bytes_ <= kMostQueuedBytes || output_has_ended_ || is_cancelled(); });
}

bool LineChannel::HasOutput() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return !queue_.empty();
}

bool LineChannel::IsDone() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return is_closed_ && (queue_.empty() || output_has_ended_);
}

absl::Status LineChannel::Run(const Handlers& handlers) {
  using SteadyClock = std::chrono::steady_clock;
  SteadyClock::time_point last_progress = SteadyClock::now();
  while (!IsDone()) {
    const bool has_output = HasOutput();
    pollfd fds[4] = {{input_has_ended_ ? -1 : input_fd_, POLLIN, 0},
                     {has_output ? output_fd_ : -1, POLLOUT, 0},
                     {wake_fd_, POLLIN, 0},
                     {input_has_ended_ ? -1 : signal_fd_, POLLIN, 0}};
    if (poll(fds, 4, input_has_ended_ ? 100 : -1) < 0 && errno != EINTR) {
      return absl::ErrnoToStatus(errno, "cannot wait for the worker's messages");
    }
    uint64_t ignored = 0;
    if (fds[2].revents != 0) [[maybe_unused]]
      const ssize_t count = read(wake_fd_, &ignored, sizeof(ignored));
    if (fds[0].revents != 0) SEEDBED_RETURN_IF_ERROR(ReadSome(handlers));
    if (fds[3].revents != 0 && !input_has_ended_) EndInput(handlers);
    if (fds[1].revents == 0 && has_output) {
      const bool is_stuck = input_has_ended_ && SteadyClock::now() - last_progress > kPatienceAfterEndOfInput;
      if (!is_stuck) continue;
    } else {
      last_progress = SteadyClock::now();
      if (!has_output || WriteSome()) continue;
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      output_has_ended_ = true;
      queue_.clear();
      room_.notify_all();
    }
    handlers.on_end_of_output();
  }
  return absl::OkStatus();
}

void LineChannel::EndInput(const Handlers& handlers) {
  input_has_ended_ = true;
  handlers.on_end_of_input();
}

absl::Status LineChannel::ReadSome(const Handlers& handlers) {
  char buffer[64 << 10];
  const ssize_t count = read(input_fd_, buffer, sizeof(buffer));
  if (count > 0) {
    unread_.append(buffer, static_cast<size_t>(count));
    return TakeLines(handlers);
  }
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return absl::OkStatus();
  EndInput(handlers);  // a broken descriptor says no more than one at its end
  return absl::OkStatus();
}

absl::Status LineChannel::TakeLines(const Handlers& handlers) {
  size_t begin = 0;
  while (true) {
    const size_t end = unread_.find('\n', begin);
    if (end == std::string::npos) break;
    if (end > begin) SEEDBED_RETURN_IF_ERROR(handlers.on_line(unread_.substr(begin, end - begin)));
    begin = end + 1;
  }
  unread_.erase(0, begin);
  if (unread_.size() <= kLongestLine) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a line of the worker is over ", kLongestLine, " bytes"));
}

bool LineChannel::WriteSome() {
  const std::lock_guard<std::mutex> lock(mutex_);
  while (!queue_.empty()) {
    const std::string& first = queue_.front();
    const ssize_t count = write(output_fd_, first.data() + written_of_first_, first.size() - written_of_first_);
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    written_of_first_ += static_cast<size_t>(count);
    if (written_of_first_ < first.size()) continue;
    queued_bytes_ -= first.size();
    written_of_first_ = 0;
    queue_.pop_front();
  }
  room_.notify_all();
  return true;
}

}  // namespace seedbed::engine
