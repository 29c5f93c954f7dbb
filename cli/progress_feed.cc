#include "cli/progress_feed.h"

#include <utility>

#include "absl/time/clock.h"

namespace seedbed::cli {

ProgressFeed::ProgressFeed(Client* client, v1::WatchProgressRequest request, absl::Duration patience)
    : client_(client), request_(std::move(request)), patience_(patience), thread_([this] { Read(); }) {}

ProgressFeed::~ProgressFeed() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  canceller_.Cancel();
  thread_.join();
}

void ProgressFeed::Read() {
  absl::Time last_heard = absl::Now();
  while (true) {
    const absl::Status status = client_->WatchProgress(
        request_,
        [&](const v1::ProgressResponse& message) {
          last_heard = absl::Now();
          std::lock_guard<std::mutex> lock(mutex_);
          connected_ = true;
          trouble_ = message.trouble();
          if (message.sweeps_size() > 0 || message.trouble().empty()) messages_.push_back(message);
          changed_.notify_all();
          return !stopping_;
        },
        &canceller_);
    // A coordinator that stops cancels what it has not answered yet; a cancellation of ours ends the next pause. Others
    // with the same token may have too much on its way.
    const bool went_away =
        absl::IsUnavailable(status) || absl::IsCancelled(status) || absl::IsResourceExhausted(status);
    const bool retry = went_away && absl::Now() - last_heard < patience_;
    if (!retry || !PauseBeforeRetry()) {
      std::lock_guard<std::mutex> lock(mutex_);
      end_ = status;
      changed_.notify_all();
      return;
    }
  }
}

bool ProgressFeed::PauseBeforeRetry() {
  std::unique_lock<std::mutex> lock(mutex_);
  connected_ = false;
  changed_.wait_for(lock, std::chrono::milliseconds(300), [this] { return stopping_; });
  return !stopping_;
}

std::optional<v1::ProgressResponse> ProgressFeed::Next(absl::Duration most) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, absl::ToChronoMilliseconds(most), [this] { return !messages_.empty() || end_.has_value(); });
  if (messages_.empty()) return std::nullopt;
  v1::ProgressResponse message = std::move(messages_.front());
  messages_.pop_front();
  return message;
}

std::optional<absl::Status> ProgressFeed::ended() {
  std::lock_guard<std::mutex> lock(mutex_);
  return messages_.empty() ? end_ : std::nullopt;
}

bool ProgressFeed::connected() {
  std::lock_guard<std::mutex> lock(mutex_);
  return connected_;
}

std::string ProgressFeed::trouble() {
  std::lock_guard<std::mutex> lock(mutex_);
  return connected_ ? trouble_ : "the coordinator does not answer; trying again";
}

}  // namespace seedbed::cli
