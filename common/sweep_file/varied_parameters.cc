#include "common/sweep_file/varied_parameters.h"

namespace seedbed {

void VariedParameters::Add(const Json& complete) {
  for (const auto& entry : complete.items()) {
    const auto [at, is_new] = seen_.try_emplace(entry.key(), Seen{entry.value()});
    if (!is_new && at->second.first != entry.value()) at->second.varies = true;
  }
}

std::string VariedParameters::Of(const Json& complete) const {
  Json varied = Json::object();
  for (const auto& entry : complete.items()) {
    const auto found = seen_.find(entry.key());
    if (found != seen_.end() && found->second.varies) varied[entry.key()] = entry.value();
  }
  return CanonicalJson(varied);
}

}  // namespace seedbed
