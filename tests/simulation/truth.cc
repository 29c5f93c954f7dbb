#include "tests/simulation/truth.h"

#include "absl/strings/str_cat.h"

namespace seedbed::simulation {
namespace {

constexpr int64_t kFewestSteps = 2;
constexpr int64_t kMostSteps = 14;

// The finaliser of SplitMix64 (Steele, Lea, Flood, 2014): a bijection, so that different states stay different.
uint64_t Mixed(uint64_t value) {
  value += 0x9E3779B97F4A7C15u;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
  return value ^ (value >> 31);
}

}  // namespace

std::string SpecificationOf(const std::string& sweep, const std::string& parameters_json, int64_t seed) {
  return absl::StrCat(sweep, " ", parameters_json, " ", seed);
}

uint64_t NextState(uint64_t state) {
  return Mixed(state);
}

uint64_t RowOf(uint64_t state) {
  return Mixed(~state);
}

const Course& Truth::Of(const std::string& specification) {
  const auto known = courses_.find(specification);
  if (known != courses_.end()) return known->second;
  Course& course = courses_[specification];
  uint64_t state = 0;
  for (const char c : specification) state = Mixed(state ^ static_cast<unsigned char>(c));
  course.poisoned = specification.find("poison") != std::string::npos;
  course.last_step = kFewestSteps + static_cast<int64_t>(Mixed(state ^ 1) % (kMostSteps - kFewestSteps + 1));
  for (int64_t step = 0; step <= course.last_step; ++step) {
    course.states.push_back(state);
    course.rows.push_back(RowOf(state));
    state = NextState(state);
  }
  const uint64_t last = course.states.back();
  course.result.outcome = last % 2 == 0 ? "grokked" : "memorised";
  course.result.reason = "budget";
  course.result.last_step = course.last_step;
  course.result.summary_json = absl::StrCat("{\"final\":", last >> 32, "}");
  return course;
}

}  // namespace seedbed::simulation
