#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/sweep_file/point_space.h"

namespace seedbed::sweep_file {

// Joins the canonical JSON of points out of the texts of their values, which were made once: equal to CanonicalJson of
// the same object.
class PointTexts {
 public:
  // Values that are interned in the space later may be asked for, too.
  explicit PointTexts(std::shared_ptr<const PointSpace> space);

  // Numbers in a point's row.
  size_t width() const { return space_->slots.size(); }

  // For each number of a row, whether its parameter is one of `names`.
  std::vector<bool> FlagsOf(const std::set<std::string>& names) const;

  // Appends all of a point's parameters without those that identity leaves out. `values` has width() numbers.
  void AppendParameters(const ValueNumber* values, std::string* text) const;
  // Appends those of the parameters in `varied` that the point has.
  void AppendVaried(const ValueNumber* values, const std::vector<bool>& varied, std::string* text) const;

 private:
  const std::shared_ptr<const PointSpace> space_;
  std::vector<std::string> keys_;  // "name": in name order
};

}  // namespace seedbed::sweep_file
