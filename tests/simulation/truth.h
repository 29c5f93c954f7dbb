#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "coordinator/core/types.h"

namespace seedbed::simulation {

// What names a training: the sweep, the point's canonical parameters and the seed.
std::string SpecificationOf(const std::string& sweep, const std::string& parameters_json, int64_t seed);

// How a training must go, whoever does it and however often it is interrupted. states[s] is what a checkpoint of step s
// holds and rows[s] the row of step s, for 0 <= s <= last_step.
struct Course {
  bool poisoned = false;  // its trainer fails at step 1, always
  int64_t last_step = 0;
  std::vector<uint64_t> states;
  std::vector<uint64_t> rows;
  core::RunResult result;
};

// The next state is a function of the one before and of nothing else: a training that goes on from the wrong step, or
// from another run's checkpoint, comes to other rows.
uint64_t NextState(uint64_t state);
uint64_t RowOf(uint64_t state);

// Courses by specification, each computed once. Not thread-safe.
class Truth {
 public:
  const Course& Of(const std::string& specification);

 private:
  std::map<std::string, Course> courses_;
};

}  // namespace seedbed::simulation
