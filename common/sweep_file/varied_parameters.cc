#include "common/sweep_file/varied_parameters.h"

namespace seedbed {

void VariedParameters::Add(const Json& complete) {
  for (const auto& entry : complete.items()) {
    const auto [at, is_new] = seen_.try_emplace(entry.key(), Seen{entry.value()});
    if (!is_new && at->second.first != entry.value()) at->second.varies = true;
  }
}

std::set<std::string> VariedParameters::Names() const {
  std::set<std::string> names;
  for (const auto& [name, seen] : seen_) {
    if (seen.varies) names.insert(name);
  }
  return names;
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
