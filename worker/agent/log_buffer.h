#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace seedbed::agent {

// Log text on its way to the coordinator. Bounded: what does not fit is counted and told in its place.
class LogBuffer {
 public:
  static constexpr size_t kMostBytes = 64 * 1024;

  void Add(const std::string& text) {
    const size_t fits = lost_ > 0 ? 0 : std::min(text.size(), kMostBytes - text_.size());
    text_.append(text, 0, fits);
    lost_ += static_cast<int64_t>(text.size() - fits);
  }
  bool empty() const { return text_.empty() && lost_ == 0; }
  std::string Take() {
    std::string taken = std::exchange(text_, std::string());
    if (lost_ > 0) absl::StrAppend(&taken, "\n[", std::exchange(lost_, 0), " bytes of log left out]\n");
    return taken;
  }

 private:
  std::string text_;
  int64_t lost_ = 0;
};

}  // namespace seedbed::agent
