#include "coordinator/core/pack_key.h"

#include "common/base/json.h"
#include "common/base/status_macros.h"

namespace seedbed::core {
namespace {

absl::StatusOr<Json> ParseObject(const std::string& text, const std::string& what) {
  SEEDBED_ASSIGN_OR_RETURN(Json json, ParseJson(text, what));
  if (!json.is_object()) return absl::InvalidArgumentError(what + " is no JSON object; expected one like {\"a\": 1}");
  return json;
}

}  // namespace

absl::StatusOr<Digest> PackKeyOf(const std::string& template_json, const std::string& parameters_json,
                                 const std::vector<std::string>& pack_parameters) {
  SEEDBED_ASSIGN_OR_RETURN(Json shared, ParseObject(template_json, "the sweep's template"));
  SEEDBED_ASSIGN_OR_RETURN(Json parameters, ParseObject(parameters_json, "a configuration's parameters"));
  for (const std::string& name : pack_parameters) parameters.erase(name);
  Json specification;
  specification["template"] = std::move(shared);
  specification["parameters"] = std::move(parameters);
  return DigestOf(CanonicalJson(specification));
}

}  // namespace seedbed::core
