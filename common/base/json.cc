#include "common/base/json.h"

#include <cmath>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace seedbed {
namespace {

// Levels of arrays and objects that ParseJson takes.
constexpr int kDeepestJson = 200;

// nlohmann writes null for non-finite numbers, so they are replaced before dumping.
Json WithNonFiniteAsStrings(const Json& value) {
  if (value.is_number_float()) return JsonNumber(value.get<double>());
  if (value.is_array()) {
    Json out = Json::array();
    for (const Json& element : value) out.push_back(WithNonFiniteAsStrings(element));
    return out;
  }
  if (value.is_object()) {
    Json out = Json::object();
    for (const auto& [key, element] : value.items()) out[key] = WithNonFiniteAsStrings(element);
    return out;
  }
  return value;
}

// CanonicalJson recurses, and a text of nothing but brackets would end the process.
bool IsNestedTooDeeply(const std::string& text) {
  int depth = 0;
  bool is_in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (is_in_string) {
      if (c == '\\') ++i;
      is_in_string = c != '"';
    } else if (c == '"') {
      is_in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kDeepestJson) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

}  // namespace

std::string CanonicalJson(const Json& value) {
  return WithNonFiniteAsStrings(value).dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json JsonNumber(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  if (value == 0.0) return 0.0;  // -0.0 and 0.0 are one value
  return value;
}

absl::StatusOr<double> NumberFromJson(const Json& value) {
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
    if (text == "Infinity") return std::numeric_limits<double>::infinity();
    if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  }
  return absl::InvalidArgumentError(absl::StrCat("expected a number, \"NaN\", \"Infinity\" or \"-Infinity\", got ",
                                                 value.dump(-1, ' ', false, Json::error_handler_t::replace)));
}

absl::StatusOr<Json> ParseJson(const std::string& text, const std::string& what) {
  if (IsNestedTooDeeply(text)) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " is nested too deeply; expected at most ", kDeepestJson, " levels of lists and objects"));
  }
  try {
    return Json::parse(text);
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(what, " is not valid JSON: ", error.what()));
  }
}

}  // namespace seedbed
