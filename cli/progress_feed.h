#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cli/client.h"

namespace seedbed::cli {

// WatchProgress read on a thread of its own, so that the caller can draw, look after children and hear signals
// meanwhile. A coordinator that goes away is called again until it has been gone for `patience`.
class ProgressFeed {
 public:
  // `client` must live longer.
  ProgressFeed(Client* client, v1::WatchProgressRequest request, absl::Duration patience);
  ~ProgressFeed();  // cancels the call
  ProgressFeed(const ProgressFeed&) = delete;
  ProgressFeed& operator=(const ProgressFeed&) = delete;

  // The next message, if one comes within `most`.
  std::optional<v1::ProgressResponse> Next(absl::Duration most);
  // Set once the stream has ended for good and all messages were taken: OK when it ended by itself.
  std::optional<absl::Status> ended();
  // False while the coordinator does not answer and is called again.
  bool connected();
  // What keeps the picture from moving, for people: no answer, or the coordinator's own trouble. Empty: nothing.
  std::string trouble();

 private:
  void Read();
  bool PauseBeforeRetry();  // false: stopping

  Client* client_;
  const v1::WatchProgressRequest request_;
  const absl::Duration patience_;
  Canceller canceller_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<v1::ProgressResponse> messages_;  // guarded by mutex_, as are the following
  std::optional<absl::Status> end_;
  bool stopping_ = false;
  bool connected_ = true;
  std::string trouble_;  // the coordinator's
  std::thread thread_;
};

}  // namespace seedbed::cli
