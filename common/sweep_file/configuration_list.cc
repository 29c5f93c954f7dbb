#include "common/sweep_file/configuration_list.h"

#include <utility>

#include "common/sweep_file/point_texts.h"

namespace seedbed {

ConfigurationList::ConfigurationList(std::shared_ptr<const sweep_file::PointTexts> texts, std::vector<Digest> digests,
                                     std::vector<int32_t> values, std::vector<bool> varied)
    : texts_(std::move(texts)), digests_(std::move(digests)), values_(std::move(values)), varied_(std::move(varied)) {}

Configuration ConfigurationList::operator[](size_t index) const {
  const sweep_file::ValueNumber* values = &values_[index * texts_->width()];
  Configuration configuration;
  configuration.digest = digests_[index];
  texts_->AppendParameters(values, &configuration.parameters_json);
  texts_->AppendVaried(values, varied_, &configuration.varied_json);
  return configuration;
}

void ConfigurationList::SetVaried(const std::set<std::string>& names) {
  if (texts_ != nullptr) varied_ = texts_->FlagsOf(names);
}

}  // namespace seedbed
