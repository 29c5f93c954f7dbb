#include "common/sweep_file/sweep.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/schema/trainer_schema.h"
#include "common/sweep_file/draft.h"
#include "common/sweep_file/expansion.h"
#include "common/sweep_file/mistakes.h"
#include "common/sweep_file/overrides.h"
#include "common/sweep_file/point_space.h"
#include "common/sweep_file/yaml_reader.h"

namespace seedbed {
namespace {

using sweep_file::Mistakes;

std::string FixedJson(const sweep_file::SweepDraft& draft) {
  Json fixed = ToJson(draft.shared);
  fixed["metric"] = draft.metric;
  fixed["method"] = draft.is_random ? "random" : "grid";
  if (draft.is_random) fixed["random_seed"] = draft.random_seed;
  if (draft.retries != 0) fixed["retries"] = draft.retries;
  return CanonicalJson(fixed);
}

std::vector<int64_t> ListSeeds(const sweep_file::SweepDraft& draft) {
  if (!draft.seeds.empty()) return draft.seeds;
  std::vector<int64_t> seeds(draft.seed_count);
  std::iota(seeds.begin(), seeds.end(), 0);
  return seeds;
}

// A file whose text is beyond reading gives no more than that mistake; all others are gathered.
void Parse(const std::string& text, const std::vector<std::string>& arguments, const SweepLimits& limits, Sweep* sweep,
           Mistakes* mistakes) {
  std::vector<sweep_file::Override> overrides = sweep_file::ReadOverrides(arguments, mistakes);
  sweep_file::YamlNodePtr root = sweep_file::ReadYaml(text, limits, mistakes);
  if (root == nullptr) return;
  root = sweep_file::ApplyToDocument(std::move(root), &overrides, mistakes);
  sweep_file::SweepDraft draft = sweep_file::ReadDraft(*root, mistakes);
  sweep_file::ApplyToParameters(overrides, &draft, mistakes);
  const TrainerSchema* schema = FindTrainer(draft.shared.trainer);
  if (schema == nullptr) return;
  const auto space = std::make_shared<sweep_file::PointSpace>(sweep_file::BuildPointSpace(draft, *schema, mistakes));
  if (!mistakes->empty()) return;

  sweep->configurations = sweep_file::ExpandPoints(draft, limits, space, mistakes);
  if (!mistakes->empty()) return;
  sweep->name = draft.name;
  sweep->description = draft.description;
  sweep->shared = draft.shared;
  sweep->seeds = ListSeeds(draft);
  sweep->priority = draft.priority;
  sweep->retries = draft.retries;
  sweep->max_concurrent = draft.max_concurrent;
  sweep->keep_checkpoints = draft.keep_checkpoints;
  sweep->numerics = draft.numerics;
  sweep->metric = draft.metric;
  sweep->fixed_json = FixedJson(draft);
  sweep->warnings = mistakes->warnings();
}

}  // namespace

absl::StatusOr<Sweep> ParseSweep(const std::string& text, const std::string& file_name,
                                 const std::vector<std::string>& overrides, const SweepLimits& limits) {
  Mistakes mistakes(file_name, overrides);
  Sweep sweep;
  Parse(text, overrides, limits, &sweep, &mistakes);
  if (!mistakes.empty()) return mistakes.ToStatus();
  return sweep;
}

}  // namespace seedbed
