#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace seedbed::agent {

// Log text on its way to the coordinator, which acknowledges none of it. Bounded: what does not fit is counted and told
// in its place. What was sent is kept, within the same bound, until a report that was sent after it is acknowledged: if
// the stream breaks before, it is sent again, because nobody knows how much of it arrived.
class LogBuffer {
 public:
  static constexpr size_t kMostBytes = 64 * 1024;

  void Add(const std::string& text) {
    const size_t room = kMostBytes - std::min(text_.size(), kMostBytes);
    const size_t fits = lost_ > 0 ? 0 : std::min(text.size(), room);
    text_.append(text, 0, fits);
    lost_ += static_cast<int64_t>(text.size() - fits);
  }
  bool empty() const { return text_.empty() && lost_ == 0 && missing_ == 0; }
  // What is to be sent now; report `next_report` has not been sent yet.
  std::string Take(int64_t next_report) {
    std::string text = std::exchange(text_, std::string());
    if (lost_ > 0) absl::StrAppend(&text, "\n[", std::exchange(lost_, 0), " bytes of log left out]\n");
    const int64_t missing = std::exchange(missing_, 0);
    const size_t repeated = std::exchange(repeated_, 0);
    Keep(next_report, text, missing);
    return absl::StrCat(Mark(missing, "up to ", " bytes are missing here"),
                        Mark(static_cast<int64_t>(repeated), "the next ", " bytes may be here twice"), text);
  }
  void Acknowledge(int64_t report) {
    while (!sent_.empty() && sent_.front().next_report <= report) {
      sent_bytes_ -= sent_.front().text.size();
      sent_.pop_front();
    }
  }
  void StreamBroke() {
    std::string again;
    for (const Sent& sent : std::exchange(sent_, {})) {
      missing_ += sent.missing;
      again += sent.text;
    }
    sent_bytes_ = 0;
    repeated_ += again.size();
    text_.insert(0, again);
  }

 private:
  struct Sent {
    int64_t next_report = 0;  // with its acknowledgement all of this has arrived
    int64_t missing = 0;      // bytes before the text that are not kept
    std::string text;
  };

  static std::string Mark(int64_t bytes, const char* before, const char* after) {
    if (bytes == 0) return "";
    return absl::StrCat("\n[seedbed: the connection to the coordinator broke: ", before, bytes, after, "]\n");
  }
  void Keep(int64_t next_report, const std::string& text, int64_t missing) {
    if (sent_.empty() || sent_.back().next_report != next_report) sent_.push_back({next_report, 0, ""});
    sent_.back().missing += missing;
    sent_.back().text += text;
    sent_bytes_ += text.size();
    for (Sent& sent : sent_) {
      const size_t beyond = std::min(sent_bytes_ - std::min(sent_bytes_, kMostBytes), sent.text.size());
      sent.text.erase(0, beyond);
      sent.missing += static_cast<int64_t>(beyond);
      sent_bytes_ -= beyond;
    }
  }

  std::string text_;
  int64_t lost_ = 0;     // after text_
  int64_t missing_ = 0;  // before text_, at most
  size_t repeated_ = 0;  // of text_, from its front
  std::deque<Sent> sent_;
  size_t sent_bytes_ = 0;
};

}  // namespace seedbed::agent
