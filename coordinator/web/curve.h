#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace seedbed {

// Keeps a curve's shape in a bounded number of points, whatever its length, which need not be known: the lowest and the
// highest value of each of a bounded number of equal spans of steps. Pure; not thread-safe.
class CurveSampler {
 public:
  struct Point {
    int64_t step = 0;
    double value = 0;
  };
  // At most `most_points` (4 or more).
  explicit CurveSampler(size_t most_points) : most_spans_(most_points / 2 - 1) {}

  // Steps rise, from 0 on. A NaN is no point.
  void Add(int64_t step, double value);
  // By rising step; the first and the last that were added are among them.
  std::vector<Point> Points() const;

 private:
  struct Span {
    int64_t number = 0;  // of steps [number * width_, (number + 1) * width_)
    Point low;
    Point high;
  };
  void Merge();

  const size_t most_spans_;
  int64_t width_ = 1;
  std::vector<Span> spans_;
  Point first_;
  Point last_;
};

}  // namespace seedbed
