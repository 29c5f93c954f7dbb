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

// The same for many configurations of one sweep: reads the template once, and flat parameters in canonical form (as
// sweeps have them) without building them anew.
class PackKeys {
 public:
  static absl::StatusOr<PackKeys> Create(const std::string& template_json, std::vector<std::string> pack_parameters);
  absl::StatusOr<Digest> Of(const std::string& parameters_json) const;

 private:
  PackKeys(std::string canonical_template, std::vector<std::string> pack_parameters);

  std::string canonical_template_;
  std::vector<std::string> pack_parameters_;  // sorted
};

}  // namespace seedbed::core
