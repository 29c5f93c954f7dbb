#include "common/sweep_file/fields.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/schema/number_text.h"
#include "common/schema/shown_text.h"

namespace seedbed::sweep_file {
namespace {

std::optional<NumberText> NumberAt(const YamlNode& node) {
  return node.is_scalar() ? ReadNumberText(node.text) : std::nullopt;
}

}  // namespace

bool CheckMap(const YamlNode& node, const std::string& what, const std::vector<std::string>& known,
              Mistakes* mistakes) {
  if (!node.is_map()) {
    mistakes->Add(node.location,
                  absl::StrCat(what, ": expected a map with ", absl::StrJoin(known, ", "), "; got ", KindOf(node)));
    return false;
  }
  for (const YamlEntry& entry : node.entries) {
    if (mistakes->is_full()) break;
    if (std::find(known.begin(), known.end(), entry.key) != known.end()) continue;
    mistakes->Add(entry.key_location,
                  absl::StrCat(what, ": unknown key ", ShownText(entry.key), DidYouMean(entry.key, known),
                               " (expected ", absl::StrJoin(known, ", "), ")"));
  }
  return true;
}

bool CheckList(const YamlNode& node, const std::string& what, Mistakes* mistakes) {
  if (node.is_sequence() && !node.elements.empty()) return true;
  mistakes->Add(node.location, absl::StrCat(what, ": expected a list with at least one element, got ",
                                            node.is_sequence() ? "an empty list" : KindOf(node)));
  return false;
}

std::optional<std::string> ReadText(const YamlNode& node, const std::string& what, Mistakes* mistakes) {
  if (node.is_scalar()) return node.text;
  mistakes->Add(node.location, absl::StrCat(what, ": expected a text, got ", KindOf(node)));
  return std::nullopt;
}

std::optional<int64_t> ReadInteger(const YamlNode& node, const std::string& what, int64_t minimum, int64_t maximum,
                                   Mistakes* mistakes) {
  const std::optional<NumberText> number = NumberAt(node);
  if (number && number->integer && *number->integer >= minimum && *number->integer <= maximum) return *number->integer;
  mistakes->Add(node.location,
                absl::StrCat(what, ": expected an integer from ", minimum, " to ", maximum, ", got ", KindOf(node)));
  return std::nullopt;
}

std::optional<int64_t> ReadInteger(const YamlNode& node, const std::string& what, int64_t minimum, Mistakes* mistakes) {
  const std::optional<NumberText> number = NumberAt(node);
  if (number && number->integer && *number->integer >= minimum) return *number->integer;
  const bool any = minimum == std::numeric_limits<int64_t>::min();
  mistakes->Add(node.location, absl::StrCat(what, ": expected an integer",
                                            any ? "" : absl::StrCat(" of at least ", minimum), ", got ", KindOf(node)));
  return std::nullopt;
}

std::optional<double> ReadNumber(const YamlNode& node, const std::string& what, Mistakes* mistakes) {
  const std::optional<NumberText> number = NumberAt(node);
  if (number && std::isfinite(number->value)) return number->value;
  mistakes->Add(node.location, absl::StrCat(what, ": expected a finite number, got ", KindOf(node)));
  return std::nullopt;
}

std::optional<bool> ReadBoolean(const YamlNode& node, const std::string& what, Mistakes* mistakes) {
  if (node.is_scalar()) {
    if (node.text == "true" || node.text == "True" || node.text == "TRUE") return true;
    if (node.text == "false" || node.text == "False" || node.text == "FALSE") return false;
  }
  mistakes->Add(node.location, absl::StrCat(what, ": expected true or false, got ", KindOf(node)));
  return std::nullopt;
}

std::optional<Scalar> ReadScalar(const YamlNode& node, const std::string& what, Mistakes* mistakes) {
  if (node.is_scalar()) return Scalar{node.text, node.location};
  if (node.is_null()) return Scalar{nullptr, node.location};
  mistakes->Add(node.location, absl::StrCat(what, ": expected a single value, got ", KindOf(node)));
  return std::nullopt;
}

std::vector<Scalar> ReadScalars(const YamlNode& node, const std::string& what, Mistakes* mistakes) {
  std::vector<Scalar> scalars;
  if (!CheckList(node, what, mistakes)) return scalars;
  scalars.reserve(node.elements.size());
  for (const YamlNodePtr& element : node.elements) {
    if (std::optional<Scalar> scalar = ReadScalar(*element, what, mistakes)) scalars.push_back(std::move(*scalar));
  }
  return scalars;
}

}  // namespace seedbed::sweep_file
