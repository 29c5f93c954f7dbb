#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>

#include "absl/status/status.h"

namespace seedbed::engine {

// Lines in and lines out over two file descriptors, so that neither direction waits for the other. One thread calls
// Run; any thread may call the rest. The descriptors are made non-blocking and stay the caller's to close.
class LineChannel {
 public:
  // Training waits while more than this is unwritten.
  static constexpr size_t kMostQueuedBytes = 4 << 20;
  static constexpr size_t kLongestLine = 16 << 20;

  // All three are called from Run, on its thread.
  struct Handlers {
    std::function<absl::Status(const std::string& line)> on_line;  // an error ends Run with it
    std::function<void()> on_end_of_input;                         // once
    std::function<void()> on_end_of_output;                        // once: nobody reads any more
  };

  // `signal_fd` (or -1): when it becomes readable, on_end_of_input is called as if the input had ended.
  LineChannel(int input_fd, int output_fd, int signal_fd);
  ~LineChannel();
  LineChannel(const LineChannel&) = delete;
  LineChannel& operator=(const LineChannel&) = delete;

  // Queues a line (its end is added). Never blocks; after the end of output it does nothing.
  void Send(std::string line);
  // Waits while the queue is over its bound and `is_cancelled` (called under the lock) is false. Notify wakes it.
  void WaitForRoom(const std::function<bool()>& is_cancelled);
  void Notify();
  // Once all that was sent is written, Run returns.
  void Close();

  // Reads and writes until Close and an empty queue, or the end of output. After the end of input it gives a reader
  // that takes nothing for 5 s up. Errors: what on_line returned, or a line over the limit.
  absl::Status Run(const Handlers& handlers);

 private:
  absl::Status ReadSome(const Handlers& handlers);
  absl::Status TakeLines(const Handlers& handlers);
  // False once nobody reads the output.
  bool WriteSome();
  void EndInput(const Handlers& handlers);
  bool HasOutput();
  bool IsDone();

  const int input_fd_;
  const int output_fd_;
  const int signal_fd_;
  int wake_fd_;         // an eventfd: makes Run look at the queue again
  std::string unread_;  // the start of a line that is not whole yet
  bool input_has_ended_ = false;

  std::mutex mutex_;
  std::condition_variable room_;
  std::deque<std::string> queue_;  // guarded by mutex_, as all below
  size_t queued_bytes_ = 0;
  size_t written_of_first_ = 0;
  bool is_closed_ = false;
  bool output_has_ended_ = false;
};

}  // namespace seedbed::engine
