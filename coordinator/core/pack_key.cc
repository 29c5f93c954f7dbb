#include "coordinator/core/pack_key.h"

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>

#include "common/base/json.h"
#include "common/base/status_macros.h"

namespace seedbed::core {
namespace {

absl::StatusOr<Json> ParseObject(const std::string& text, const std::string& what) {
  SEEDBED_ASSIGN_OR_RETURN(Json json, ParseJson(text, what));
  if (!json.is_object()) return absl::InvalidArgumentError(what + " is no JSON object; expected one like {\"a\": 1}");
  return json;
}

// The end of a member's value that is a number, a word or a string without escapes; npos for any other.
size_t EndOfPlainValue(std::string_view text, size_t at) {
  if (at >= text.size()) return std::string_view::npos;
  if (text[at] != '"') {
    const size_t end = text.find_first_of(",}", at);
    if (end == std::string_view::npos) return end;
    const std::string_view word = text.substr(at, end - at);
    const bool plain = word == "true" || word == "false" || word == "null" ||
                       (!word.empty() && word.find_first_not_of("0123456789+-.e") == std::string_view::npos);
    return plain ? end : std::string_view::npos;
  }
  const size_t end = text.find_first_of("\"\\", at + 1);
  return end != std::string_view::npos && text[end] == '"' ? end + 1 : std::string_view::npos;
}

// Appends a flat object in canonical form (names rising, no white space) without the members of these names, which are
// sorted. False where the text is of another form: then `out` is of no use.
bool AppendWithout(std::string_view object, const std::vector<std::string>& names, std::string* out) {
  if (object.empty() || object.front() != '{') return false;
  out->push_back('{');
  size_t at = 1;
  if (object == "{}") at = 0;  // no member: its end is seen below
  std::string_view last;
  bool any = false;
  while (at > 0) {
    const size_t begin = at;
    const size_t end_of_name = begin < object.size() ? object.find('"', begin + 1) : std::string_view::npos;
    if (end_of_name == std::string_view::npos || object[begin] != '"') return false;
    const std::string_view name = object.substr(begin + 1, end_of_name - begin - 1);
    if (name.find('\\') != std::string_view::npos || (begin > 1 && name <= last)) return false;
    last = name;
    if (end_of_name + 1 >= object.size() || object[end_of_name + 1] != ':') return false;
    const size_t end = EndOfPlainValue(object, end_of_name + 2);
    if (end == std::string_view::npos || end >= object.size()) return false;
    if (!std::binary_search(names.begin(), names.end(), name, std::less<>())) {
      if (any) out->push_back(',');
      any = true;
      out->append(object.substr(begin, end - begin));
    }
    if (object[end] == '}') {
      if (end + 1 != object.size()) return false;
      break;
    }
    if (object[end] != ',') return false;
    at = end + 1;
  }
  out->push_back('}');
  return true;
}

}  // namespace

absl::StatusOr<Digest> PackKeyOf(const std::string& template_json, const std::string& parameters_json,
                                 const std::vector<std::string>& pack_parameters) {
  SEEDBED_ASSIGN_OR_RETURN(const PackKeys keys, PackKeys::Create(template_json, pack_parameters));
  return keys.Of(parameters_json);
}

PackKeys::PackKeys(std::string canonical_template, std::vector<std::string> pack_parameters)
    : canonical_template_(std::move(canonical_template)), pack_parameters_(std::move(pack_parameters)) {
  std::sort(pack_parameters_.begin(), pack_parameters_.end());
}

absl::StatusOr<PackKeys> PackKeys::Create(const std::string& template_json, std::vector<std::string> pack_parameters) {
  SEEDBED_ASSIGN_OR_RETURN(const Json shared, ParseObject(template_json, "the sweep's template"));
  return PackKeys(CanonicalJson(shared), std::move(pack_parameters));
}

absl::StatusOr<Digest> PackKeys::Of(const std::string& parameters_json) const {
  // Canonical JSON of {"parameters": …, "template": …}.
  static constexpr char kBefore[] = R"({"parameters":)";
  static constexpr char kBetween[] = R"(,"template":)";
  std::string text = kBefore;
  text.reserve(parameters_json.size() + canonical_template_.size() + 64);
  if (!AppendWithout(parameters_json, pack_parameters_, &text)) {
    SEEDBED_ASSIGN_OR_RETURN(Json parameters, ParseObject(parameters_json, "a configuration's parameters"));
    for (const std::string& name : pack_parameters_) parameters.erase(name);
    text = kBefore + CanonicalJson(parameters);
  }
  text += kBetween;
  text += canonical_template_;
  text += '}';
  return DigestOf(text);
}

}  // namespace seedbed::core
