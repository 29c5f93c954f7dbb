#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <utility>

namespace seedbed {

// An integer that cannot be mixed up with another kind of integer. 0 means "none" for ids.
template <typename Tag>
class StrongInt {
 public:
  constexpr StrongInt() = default;
  constexpr explicit StrongInt(int64_t value) : value_(value) {}
  constexpr int64_t value() const { return value_; }
  constexpr explicit operator bool() const { return value_ != 0; }
  constexpr StrongInt Next() const { return StrongInt(value_ + 1); }

  friend constexpr bool operator==(StrongInt a, StrongInt b) { return a.value_ == b.value_; }
  friend constexpr bool operator!=(StrongInt a, StrongInt b) { return a.value_ != b.value_; }
  friend constexpr bool operator<(StrongInt a, StrongInt b) { return a.value_ < b.value_; }
  friend constexpr bool operator<=(StrongInt a, StrongInt b) { return a.value_ <= b.value_; }
  friend constexpr bool operator>(StrongInt a, StrongInt b) { return a.value_ > b.value_; }
  friend constexpr bool operator>=(StrongInt a, StrongInt b) { return a.value_ >= b.value_; }
  friend std::ostream& operator<<(std::ostream& out, StrongInt id) { return out << id.value_; }
  template <typename H>
  friend H AbslHashValue(H h, StrongInt id) {
    return H::combine(std::move(h), id.value_);
  }

 private:
  int64_t value_ = 0;
};

// Rows of the results database; never reused within one database.
using SweepId = StrongInt<struct SweepIdTag>;
using ConfigurationId = StrongInt<struct ConfigurationIdTag>;
using RunId = StrongInt<struct RunIdTag>;
// The right to report on a run: it rises with every grant and every revocation of that run; stale ones are refused.
using Fence = StrongInt<struct FenceTag>;

// Drawn at random by a worker process at its start, so a restarted worker is another worker.
class WorkerId {
 public:
  WorkerId() = default;
  explicit WorkerId(std::string value) : value_(std::move(value)) {}
  const std::string& value() const { return value_; }
  bool empty() const { return value_.empty(); }
  friend bool operator==(const WorkerId& a, const WorkerId& b) { return a.value_ == b.value_; }
  friend bool operator!=(const WorkerId& a, const WorkerId& b) { return a.value_ != b.value_; }
  friend bool operator<(const WorkerId& a, const WorkerId& b) { return a.value_ < b.value_; }
  friend std::ostream& operator<<(std::ostream& out, const WorkerId& id) { return out << id.value_; }
  template <typename H>
  friend H AbslHashValue(H h, const WorkerId& id) {
    return H::combine(std::move(h), id.value_);
  }

 private:
  std::string value_;
};

}  // namespace seedbed

template <typename Tag>
struct std::hash<seedbed::StrongInt<Tag>> {
  std::size_t operator()(seedbed::StrongInt<Tag> id) const noexcept { return std::hash<int64_t>{}(id.value()); }
};
template <>
struct std::hash<seedbed::WorkerId> {
  std::size_t operator()(const seedbed::WorkerId& id) const noexcept { return std::hash<std::string>{}(id.value()); }
};
