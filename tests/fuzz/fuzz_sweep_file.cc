// A sweep file: what stands before the first NUL; after it, one override a line.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "common/sweep_file/sweep.h"
#include "tests/fuzz/fuzz.h"

namespace seedbed::fuzz {
namespace {

void CheckSweep(const Sweep& sweep, const SweepLimits& limits) {
  Require(!sweep.name.empty(), "a sweep has a name");
  Require(static_cast<int64_t>(sweep.configurations.size()) <= limits.most_configurations,
          "no more points than allowed");
  Require(sweep.run_count() <= limits.most_runs, "no more runs than allowed");
  Require(std::set<int64_t>(sweep.seeds.begin(), sweep.seeds.end()).size() == sweep.seeds.size(), "seeds are distinct");
  std::set<std::string> digests;
  for (const Configuration& each : sweep.configurations) {
    Require(digests.insert(each.digest.Hex()).second, "configurations are distinct");
    const absl::StatusOr<Json> parameters = ParseJson(each.parameters_json, "parameters");
    Require(parameters.ok() && parameters->is_object(), "parameters are an object");
    Require(CanonicalJson(*parameters) == each.parameters_json, "parameters are canonical");
  }
  const Json shared = ToJson(sweep.shared);
  const absl::StatusOr<RunTemplate> again = RunTemplateFromJson(shared);
  Require(again.ok() && ToJson(*again) == shared, "the template reads back as it is");
}

}  // namespace
}  // namespace seedbed::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace seedbed;  // NOLINT: the entry point has to be global
  const std::string input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\0'), input.size());
  std::vector<std::string> overrides;
  if (end < input.size()) overrides = absl::StrSplit(input.substr(end + 1), '\n', absl::SkipEmpty());
  SweepLimits limits;
  limits.most_runs = 2000;
  limits.most_configurations = 500;
  limits.most_nodes = 10'000;
  const absl::StatusOr<Sweep> sweep = ParseSweep(input.substr(0, end), "fuzz.yaml", overrides, limits);
  if (sweep.ok()) {
    fuzz::CheckSweep(*sweep, limits);
  } else {
    fuzz::Require(absl::IsInvalidArgument(sweep.status()) || absl::IsResourceExhausted(sweep.status()),
                  "a mistake is INVALID_ARGUMENT or RESOURCE_EXHAUSTED: " + sweep.status().ToString());
    fuzz::Require(!sweep.status().message().empty(), "a mistake is told");
  }
  return 0;
}
