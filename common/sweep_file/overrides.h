#pragma once

#include <string>
#include <vector>

#include "common/sweep_file/draft.h"
#include "common/sweep_file/mistakes.h"
#include "common/sweep_file/yaml_reader.h"

namespace seedbed::sweep_file {

// A KEY=VALUE argument. Its value is a scalar, or a list where it has commas.
struct Override {
  std::string key;
  Location key_location;
  YamlNodePtr value;
};

// Splits the arguments; each that is not KEY=VALUE is a mistake.
std::vector<Override> ReadOverrides(const std::vector<std::string>& arguments, Mistakes* mistakes);

// The document with the overrides of the sweep's own keys (seeds, budget.steps, …) in it. What is left in `overrides`
// are parameters.
YamlNodePtr ApplyToDocument(YamlNodePtr root, std::vector<Override>* overrides, Mistakes* mistakes);

// Puts parameters into the draft: one value replaces every mention of the parameter, its column in a zip and its value
// in an include too; several make it an axis. A `when` of the file stays in force.
void ApplyToParameters(const std::vector<Override>& overrides, SweepDraft* draft, Mistakes* mistakes);

}  // namespace seedbed::sweep_file
