#include "coordinator/web/curve.h"

#include <algorithm>
#include <cmath>

namespace seedbed {
namespace {

bool Before(const CurveSampler::Point& a, const CurveSampler::Point& b) {
  return a.step < b.step;
}

}  // namespace

void CurveSampler::Add(int64_t step, double value) {
  if (std::isnan(value)) return;
  const Point point{step, value};
  if (spans_.empty()) first_ = point;
  last_ = point;
  const int64_t number = step / width_;
  if (spans_.empty() || spans_.back().number != number) {
    spans_.push_back({number, point, point});
    while (spans_.size() > most_spans_) Merge();
    return;
  }
  Span& span = spans_.back();
  if (value < span.low.value) span.low = point;
  if (value > span.high.value) span.high = point;
}

// Twice as wide spans.
void CurveSampler::Merge() {
  width_ *= 2;
  size_t kept = 0;
  for (size_t i = 0; i < spans_.size(); ++i) {
    Span span = spans_[i];
    span.number /= 2;
    if (kept > 0 && spans_[kept - 1].number == span.number) {
      Span& before = spans_[kept - 1];
      if (span.low.value < before.low.value) before.low = span.low;
      if (span.high.value > before.high.value) before.high = span.high;
    } else {
      spans_[kept++] = span;
    }
  }
  spans_.resize(kept);
}

std::vector<CurveSampler::Point> CurveSampler::Points() const {
  std::vector<Point> points;
  if (spans_.empty()) return points;
  points.push_back(first_);
  for (const Span& span : spans_) {
    points.push_back(std::min(span.low, span.high, Before));
    points.push_back(std::max(span.low, span.high, Before));
  }
  points.push_back(last_);
  std::stable_sort(points.begin(), points.end(), Before);
  points.erase(
      std::unique(points.begin(), points.end(), [](const Point& a, const Point& b) { return a.step == b.step; }),
      points.end());
  return points;
}

}  // namespace seedbed
