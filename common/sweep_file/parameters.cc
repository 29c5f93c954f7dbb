#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/schema/shown_text.h"
#include "common/sweep_file/draft.h"

// The sections that span the points: parameters, zip, include, exclude.
namespace seedbed::sweep_file {
namespace {

const std::vector<std::string>& ParameterKeys() {
  static const auto* const keys = new std::vector<std::string>{
      "value", "values", "distribution", "min", "max", "q", "mu", "sigma", "probabilities", "when", "parameters"};
  return *keys;
}

// Items of a map of parameters to values: those of a `when`, an include or an exclude. `several` allows a list of
// values.
std::vector<NamedValues> ReadNamedValues(const YamlNode& map, const std::string& what, bool several,
                                         Mistakes* mistakes) {
  std::vector<NamedValues> items;
  if (!map.is_map() || map.entries.empty()) {
    mistakes->Add(map.location,
                  absl::StrCat(what, ": expected a map with at least one parameter, such as {model.width: ",
                               "128}, got ", map.is_map() ? "an empty map" : KindOf(map)));
    return items;
  }
  for (const YamlEntry& entry : map.entries) {
    NamedValues item{entry.key, entry.key_location, {}};
    const std::string where = absl::StrCat(what, ": ", ShownText(entry.key));
    if (several && entry.value->is_sequence()) {
      item.values = ReadScalars(*entry.value, where, mistakes);
    } else if (std::optional<Scalar> scalar = ReadScalar(*entry.value, where, mistakes)) {
      item.values.push_back(std::move(*scalar));
    }
    if (!item.values.empty()) items.push_back(std::move(item));
  }
  return items;
}

void ReadProbabilities(const YamlNode& node, ParameterDraft* draft, Mistakes* mistakes) {
  const std::string what = absl::StrCat(draft->name, ".probabilities");
  if (!CheckList(node, what, mistakes)) return;
  double sum = 0;
  for (const YamlNodePtr& element : node.elements) {
    const std::optional<double> probability = ReadNumber(*element, what, mistakes);
    if (!probability) return;
    if (*probability < 0) {
      mistakes->Add(element->location, absl::StrCat(what, ": expected a number of at least 0"));
      return;
    }
    sum += *probability;
    draft->probabilities.push_back(*probability);
  }
  if (draft->probabilities.size() != draft->values.size()) {
    mistakes->Add(node.location, absl::StrCat(what, ": expected one for each of the ", draft->values.size(),
                                              " values, got ", draft->probabilities.size()));
  } else if (sum < 1 - 1e-6 || sum > 1 + 1e-6) {
    mistakes->Add(node.location, absl::StrCat(what, ": expected a sum of 1, got ", sum));
  }
}

// What the keys of one parameter's map say together: a value, values, or a distribution.
void ReadDomain(const YamlNode& map, ParameterDraft* draft, Mistakes* mistakes) {
  const YamlEntry* value = map.Find("value");
  const YamlEntry* values = map.Find("values");
  const YamlEntry* named = map.Find("distribution");
  const std::string distribution = named != nullptr && named->value->is_scalar() ? named->value->text : "";
  const bool numeric = map.Find("min") != nullptr || map.Find("max") != nullptr || map.Find("mu") != nullptr ||
                       map.Find("sigma") != nullptr || map.Find("q") != nullptr ||
                       (named != nullptr && distribution != "constant" && distribution != "categorical");
  if ((value != nullptr) + (values != nullptr) + numeric > 1) {
    mistakes->Add(draft->location,
                  absl::StrCat(draft->name, ": expected only one of 'value', 'values' and a distribution of numbers"));
    return;
  }
  if (const YamlEntry* probabilities = map.Find("probabilities"); probabilities != nullptr && values == nullptr) {
    mistakes->Add(probabilities->key_location, absl::StrCat(draft->name, ": 'probabilities' goes with 'values'"));
  }
  if (value != nullptr && distribution != "categorical") {
    if (auto scalar = ReadScalar(*value->value, absl::StrCat(draft->name, ".value"), mistakes)) {
      draft->values.push_back(std::move(*scalar));
    }
  } else if (values != nullptr && distribution != "constant") {
    draft->values = ReadScalars(*values->value, absl::StrCat(draft->name, ".values"), mistakes);
    const YamlEntry* probabilities = map.Find("probabilities");
    if (probabilities != nullptr && !draft->values.empty()) ReadProbabilities(*probabilities->value, draft, mistakes);
  } else if (numeric) {
    draft->distribution = ReadDistribution(map, draft->name, mistakes);
  } else {
    const char* expected = distribution == "constant"      ? "'value' with distribution constant"
                           : distribution == "categorical" ? "'values' with distribution categorical"
                                                           : "'value', 'values', or 'min' and 'max'";
    mistakes->Add(draft->location, absl::StrCat(draft->name, ": expected ", expected));
  }
}

void ReadOneParameter(const std::string& name, const YamlEntry& entry, std::vector<ParameterDraft>* parameters,
                      Mistakes* mistakes) {
  ParameterDraft draft;
  draft.name = name;
  draft.location = entry.key_location;
  ReadDomain(*entry.value, &draft, mistakes);
  if (const YamlEntry* when = entry.value->Find("when")) {
    draft.when = ReadNamedValues(*when->value, absl::StrCat(name, ".when"), true, mistakes);
  }
  parameters->push_back(std::move(draft));
}

void ReadGroup(const YamlNode& group, const std::string& prefix, std::vector<ParameterDraft>* parameters,
               Mistakes* mistakes) {
  for (const YamlEntry& entry : group.entries) {
    if (mistakes->is_full()) break;
    const std::string name = absl::StrCat(prefix, entry.key);
    const YamlNode& node = *entry.value;
    if (!node.is_map()) {
      mistakes->Add(node.location,
                    absl::StrCat(name, ": expected a map such as {value: 1} or {values: [1, 2]}, got ", KindOf(node)));
      continue;
    }
    const YamlEntry* nested = node.Find("parameters");
    bool known = true;
    for (const YamlEntry& inner : node.entries) {
      if (mistakes->is_full()) break;
      const auto& keys = ParameterKeys();
      if (nested == nullptr && std::find(keys.begin(), keys.end(), inner.key) != keys.end()) continue;
      if (nested != nullptr && inner.key == "parameters") continue;
      known = false;
      mistakes->Add(inner.key_location,
                    nested != nullptr
                        ? absl::StrCat(name, ": unknown key ", ShownText(inner.key),
                                       " beside 'parameters'; expected it "
                                       "inside of them")
                        : absl::StrCat(name, ": unknown key ", ShownText(inner.key), DidYouMean(inner.key, keys),
                                       " (expected value, values, distribution, min, max, q, mu, sigma, probabilities, "
                                       "when; groups of parameters stand under a further 'parameters:')"));
    }
    if (nested == nullptr) {
      if (known) ReadOneParameter(name, entry, parameters, mistakes);
    } else if (!nested->value->is_map()) {
      mistakes->Add(nested->key_location,
                    absl::StrCat(name, ".parameters: expected a map of parameters, got ", KindOf(*nested->value)));
    } else {
      ReadGroup(*nested->value, absl::StrCat(name, "."), parameters, mistakes);
    }
  }
}

void ReadZip(const YamlNode& list, SweepDraft* draft, Mistakes* mistakes) {
  if (!CheckList(list, "zip", mistakes)) return;
  for (const YamlNodePtr& group : list.elements) {
    if (!group->is_map() || group->entries.empty()) {
      mistakes->Add(group->location, "zip: expected a map of parameters to lists, such as {a: [1, 2], b: [3, 4]}");
      continue;
    }
    PointEntry entry{group->location, {}};
    for (const YamlEntry& column : group->entries) {
      NamedValues item{column.key, column.key_location, {}};
      item.values = ReadScalars(*column.value, absl::StrCat("zip: ", ShownText(column.key)), mistakes);
      if (!item.values.empty()) entry.items.push_back(std::move(item));
    }
    for (size_t i = 1; i < entry.items.size(); ++i) {
      const NamedValues& first = entry.items[0];
      const NamedValues& other = entry.items[i];
      if (other.values.size() == first.values.size()) continue;
      mistakes->Add(other.location,
                    absl::StrCat("zip: expected lists of equal length, but ", ShownText(first.name), " has ",
                                 first.values.size(), " and ", ShownText(other.name), " has ", other.values.size()));
    }
    if (!entry.items.empty()) draft->zip.push_back(std::move(entry));
  }
}

void ReadEntryList(const YamlNode& list, const std::string& what, bool several, std::vector<PointEntry>* entries,
                   Mistakes* mistakes) {
  if (!CheckList(list, what, mistakes)) return;
  for (const YamlNodePtr& element : list.elements) {
    PointEntry entry{element->location, ReadNamedValues(*element, what, several, mistakes)};
    if (!entry.items.empty()) entries->push_back(std::move(entry));
  }
}

}  // namespace

void ReadParameters(const YamlNode& node, std::vector<ParameterDraft>* parameters, Mistakes* mistakes) {
  if (!node.is_map()) {
    mistakes->Add(node.location, absl::StrCat("parameters: expected a map of parameters, got ", KindOf(node)));
    return;
  }
  std::vector<ParameterDraft> read;
  ReadGroup(node, "", &read, mistakes);
  std::unordered_map<std::string, Location> first;
  for (ParameterDraft& draft : read) {
    const auto [found, inserted] = first.emplace(draft.name, draft.location);
    if (inserted) {
      parameters->push_back(std::move(draft));
    } else {
      mistakes->Add(draft.location,
                    absl::StrCat(draft.name, " is given twice; the first is on line ", found->second.line));
    }
  }
}

void ReadPointEntries(const YamlNode& root, SweepDraft* draft, Mistakes* mistakes) {
  if (const YamlEntry* zip = root.Find("zip")) ReadZip(*zip->value, draft, mistakes);
  if (const YamlEntry* include = root.Find("include")) {
    ReadEntryList(*include->value, "include", false, &draft->include, mistakes);
  }
  if (const YamlEntry* exclude = root.Find("exclude")) {
    draft->exclude_location = exclude->key_location;
    ReadEntryList(*exclude->value, "exclude", true, &draft->exclude, mistakes);
  }
}

}  // namespace seedbed::sweep_file
