#include "common/sweep_file/overrides.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/base/text.h"
#include "common/schema/shown_text.h"
#include "common/schema/trainer_schema.h"

namespace seedbed::sweep_file {
namespace {

// The sweep's own keys that one line can say.
const std::vector<std::string>& DocumentKeys() {
  static const auto* const keys = new std::vector<std::string>{"name",
                                                               "description",
                                                               "trainer",
                                                               "method",
                                                               "run_cap",
                                                               "random_seed",
                                                               "metric.name",
                                                               "metric.goal",
                                                               "seeds",
                                                               "budget.steps",
                                                               "budget.time",
                                                               "metrics.log_every",
                                                               "metrics.evaluate_every",
                                                               "metrics.analyze_every",
                                                               "priority",
                                                               "max_concurrent",
                                                               "checkpoints.keep",
                                                               "numerics",
                                                               "retries"};
  return *keys;
}

std::shared_ptr<YamlNode> MakeScalar(std::string text, Location location) {
  auto node = std::make_shared<YamlNode>();
  node->kind = YamlNode::Kind::kScalar;
  node->text = std::move(text);
  node->location = location;
  return node;
}

// nullptr after a mistake.
YamlNodePtr ReadValue(const std::string& argument, size_t from, int index, bool may_be_list, Mistakes* mistakes) {
  const auto at = [&](size_t offset) { return Location{index, 1, static_cast<int>(offset) + 1}; };
  if (may_be_list && argument.size() > from + 2 && argument[from] == '[' && argument.back() == ']') {
    mistakes->Add(at(from),
                  absl::StrCat("several values stand here without brackets: ", argument.substr(0, from),
                               absl::StrReplaceAll(argument.substr(from), {{"[", ""}, {"]", ""}, {" ", ""}})));
    return nullptr;
  }
  if (!may_be_list || argument.find(',', from) == std::string::npos) {
    if (from == argument.size()) {
      mistakes->Add(at(from), "expected a value after '='");
      return nullptr;
    }
    return MakeScalar(argument.substr(from), at(from));
  }
  if (argument.back() == ',') {
    mistakes->Add(at(argument.size()), "expected a value after the comma");
    return nullptr;
  }
  auto list = std::make_shared<YamlNode>();
  list->kind = YamlNode::Kind::kSequence;
  list->location = at(from);
  for (size_t begin = from; begin <= argument.size();) {
    const size_t end = std::min(argument.find(',', begin), argument.size());
    if (begin == end) {
      mistakes->Add(at(begin), "expected a value between the commas");
      return nullptr;
    }
    list->elements.push_back(MakeScalar(argument.substr(begin, end - begin), at(begin)));
    begin = end + 1;
  }
  return list;
}

std::shared_ptr<YamlNode> WithEntry(const YamlNode& map, const std::string& key, Location key_location,
                                    YamlNodePtr value) {
  auto changed = std::make_shared<YamlNode>(map);
  for (YamlEntry& entry : changed->entries) {
    if (entry.key != key) continue;
    entry.key_location = key_location;
    entry.value = std::move(value);
    return changed;
  }
  changed->entries.push_back({key, key_location, std::move(value)});
  return changed;
}

YamlNodePtr SetInDocument(const YamlNode& root, const Override& change) {
  const size_t dot = change.key.find('.');
  if (dot == std::string::npos) return WithEntry(root, change.key, change.key_location, change.value);
  const std::string outer = change.key.substr(0, dot);
  const YamlEntry* entry = root.Find(outer);
  YamlNode section;
  section.kind = YamlNode::Kind::kMap;
  section.location = change.key_location;
  // What is no map there is a mistake that reading the section reports; an override does not hide it.
  if (entry != nullptr && !entry->value->is_map() && !entry->value->is_null()) return nullptr;
  if (entry != nullptr && entry->value->is_map()) section = *entry->value;
  const Location location = entry != nullptr ? entry->key_location : change.key_location;
  return WithEntry(root, outer, location,
                   WithEntry(section, change.key.substr(dot + 1), change.key_location, change.value));
}

void RemoveFromZip(const std::string& name, SweepDraft* draft) {
  for (PointEntry& group : draft->zip) {
    auto& items = group.items;
    items.erase(std::remove_if(items.begin(), items.end(), [&](const NamedValues& item) { return item.name == name; }),
                items.end());
  }
  auto& zip = draft->zip;
  zip.erase(std::remove_if(zip.begin(), zip.end(), [](const PointEntry& group) { return group.items.empty(); }),
            zip.end());
}

// Entries that name the parameter take the new values, one entry for each.
void ReplaceInIncludes(const NamedValues& change, SweepDraft* draft) {
  std::vector<PointEntry> replaced;
  for (const PointEntry& entry : draft->include) {
    const auto found = std::find_if(entry.items.begin(), entry.items.end(),
                                    [&](const NamedValues& item) { return item.name == change.name; });
    if (found == entry.items.end()) {
      replaced.push_back(entry);
      continue;
    }
    for (const Scalar& value : change.values) {
      PointEntry copy = entry;
      copy.items[found - entry.items.begin()] = {change.name, change.location, {value}};
      replaced.push_back(std::move(copy));
    }
  }
  draft->include = std::move(replaced);
}

}  // namespace

std::vector<Override> ReadOverrides(const std::vector<std::string>& arguments, Mistakes* mistakes) {
  std::vector<Override> overrides;
  std::unordered_map<std::string, int> first;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    const Location start{static_cast<int>(i), 1, 1};
    size_t offset = 0;
    if (!IsValidUtf8(argument, &offset)) {
      mistakes->Add({static_cast<int>(i), 1, static_cast<int>(offset) + 1}, "a byte that is not UTF-8");
      continue;
    }
    const size_t equals = argument.find('=');
    if (equals == std::string::npos || equals == 0) {
      mistakes->Add(start, "expected KEY=VALUE, such as seeds=3 or optimizer.weight_decay=1e-4,1e-3");
      continue;
    }
    Override change{argument.substr(0, equals), start, nullptr};
    const bool is_document_key =
        std::find(DocumentKeys().begin(), DocumentKeys().end(), change.key) != DocumentKeys().end();
    change.value =
        ReadValue(argument, equals + 1, static_cast<int>(i), !is_document_key || change.key == "seeds", mistakes);
    if (!first.emplace(change.key, static_cast<int>(i)).second) {
      mistakes->Add(start, absl::StrCat(ShownText(change.key), " is given twice"));
    } else if (change.value != nullptr) {
      overrides.push_back(std::move(change));
    }
  }
  return overrides;
}

YamlNodePtr ApplyToDocument(YamlNodePtr root, std::vector<Override>* overrides, Mistakes* mistakes) {
  std::vector<Override> parameters;
  for (Override& change : *overrides) {
    const std::vector<std::string>& own = DocumentKeys();
    if (std::find(own.begin(), own.end(), change.key) != own.end()) {
      if (YamlNodePtr changed = SetInDocument(*root, change)) root = std::move(changed);
      continue;
    }
    const std::vector<std::string>& sections = SweepKeys();
    if (std::find(sections.begin(), sections.end(), change.key) != sections.end()) {
      std::vector<std::string> inner;
      for (const std::string& key : own) {
        if (absl::StartsWith(key, change.key + ".")) inner.push_back(key);
      }
      mistakes->Add(change.key_location,
                    absl::StrCat("'", change.key, "' cannot be given here",
                                 inner.empty() ? "; change it in the file"
                                               : absl::StrCat("; expected ", absl::StrJoin(inner, " or "))));
      continue;
    }
    parameters.push_back(std::move(change));
  }
  *overrides = std::move(parameters);
  return root;
}

void ApplyToParameters(const std::vector<Override>& overrides, SweepDraft* draft, Mistakes* mistakes) {
  const TrainerSchema* schema = FindTrainer(draft->shared.trainer);
  for (const Override& change : overrides) {
    if (schema != nullptr && schema->FindParameter(change.key) == nullptr) {
      std::optional<std::string> nearest = NearestWord(change.key, DocumentKeys());
      if (!nearest) nearest = NearestParameter(*schema, change.key);
      mistakes->Add(
          change.key_location,
          absl::StrCat(ShownText(change.key), " is neither a parameter of trainer ", schema->name,
                       " nor a key of a sweep", nearest ? absl::StrCat("; did you mean '", *nearest, "'?") : "",
                       " (expected a parameter, or one of ", absl::StrJoin(DocumentKeys(), ", "), ")"));
      continue;
    }
    NamedValues values{change.key, change.key_location, {}};
    if (change.value->is_sequence()) {
      values.values = ReadScalars(*change.value, change.key, mistakes);
    } else if (std::optional<Scalar> scalar = ReadScalar(*change.value, change.key, mistakes)) {
      values.values.push_back(std::move(*scalar));
    }
    RemoveFromZip(change.key, draft);
    ReplaceInIncludes(values, draft);
    const auto found = std::find_if(draft->parameters.begin(), draft->parameters.end(),
                                    [&](const ParameterDraft& parameter) { return parameter.name == change.key; });
    ParameterDraft parameter;
    parameter.name = change.key;
    parameter.location = change.key_location;
    parameter.values = values.values;
    if (found != draft->parameters.end()) {
      parameter.when = found->when;
      *found = std::move(parameter);
    } else {
      draft->parameters.push_back(std::move(parameter));
    }
  }
}

}  // namespace seedbed::sweep_file
