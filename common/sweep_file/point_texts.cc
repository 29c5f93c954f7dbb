#include "common/sweep_file/point_texts.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace seedbed::sweep_file {
namespace {

// Writes the commas between the members of one object.
class ObjectText {
 public:
  explicit ObjectText(std::string* text) : text_(text) { text_->push_back('{'); }
  ~ObjectText() { text_->push_back('}'); }
  ObjectText(const ObjectText&) = delete;
  ObjectText& operator=(const ObjectText&) = delete;

  void Add(const std::string& key, const std::string& value) {
    if (!is_empty_) text_->push_back(',');
    is_empty_ = false;
    text_->append(key);
    text_->append(value);
  }

 private:
  std::string* const text_;
  bool is_empty_ = true;
};

}  // namespace

PointTexts::PointTexts(std::shared_ptr<const PointSpace> space) : space_(std::move(space)) {
  for (const int slot : space_->name_order) {
    keys_.push_back(absl::StrCat("\"", space_->slots[slot].definition->name, "\":"));
  }
}

std::vector<bool> PointTexts::FlagsOf(const std::set<std::string>& names) const {
  std::vector<bool> flags;
  for (const Slot& slot : space_->slots) flags.push_back(names.count(slot.definition->name) > 0);
  return flags;
}

void PointTexts::AppendParameters(const ValueNumber* values, std::string* text) const {
  ObjectText object(text);
  for (size_t i = 0; i < keys_.size(); ++i) {
    const int index = space_->name_order[i];
    const Slot& slot = space_->slots[index];
    const ValueNumber value = values[index];
    if (value == kAbsent || (slot.definition->left_out_at_default && value == slot.default_value)) continue;
    object.Add(keys_[i], slot.values.text(value));
  }
}

void PointTexts::AppendVaried(const ValueNumber* values, const std::vector<bool>& varied, std::string* text) const {
  ObjectText object(text);
  for (size_t i = 0; i < keys_.size(); ++i) {
    const int index = space_->name_order[i];
    if (values[index] != kAbsent && varied[index])
      object.Add(keys_[i], space_->slots[index].values.text(values[index]));
  }
}

}  // namespace seedbed::sweep_file
