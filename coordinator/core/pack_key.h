#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/digest.h"

namespace seedbed::core {

// What runs must share to be trained as one stacked model: the digest of a run's specification without its seed and
// without the parameters that the trainer lets differ inside a pack. INVALID_ARGUMENT if a text is no JSON object.
absl::StatusOr<Digest> PackKeyOf(const std::string& template_json, const std::string& parameters_json,
                                 const std::vector<std::string>& pack_parameters);

}  // namespace seedbed::core
