#include "common/schema/number_text.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <string>
#include <system_error>

#include "absl/strings/charconv.h"

namespace seedbed {
namespace {

size_t CountDigits(std::string_view text, size_t from) {
  size_t end = from;
  while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
  return end - from;
}

// `text` has no sign. On success says whether it is digits only.
bool IsUnsignedNumber(std::string_view text, bool* digits_only) {
  size_t at = CountDigits(text, 0);
  size_t mantissa_digits = at;
  *digits_only = at == text.size();
  if (at < text.size() && text[at] == '.') {
    const size_t fraction = CountDigits(text, at + 1);
    mantissa_digits += fraction;
    at += 1 + fraction;
  }
  if (mantissa_digits == 0) return false;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    const size_t exponent = CountDigits(text, at);
    if (exponent == 0) return false;
    at += exponent;
  }
  return at == text.size();
}

std::optional<double> ReadNonFinite(std::string_view text, bool negative) {
  const double sign = negative ? -1.0 : 1.0;
  for (const char* word : {".inf", ".Inf", ".INF", "inf", "Infinity"}) {
    if (text == word) return sign * std::numeric_limits<double>::infinity();
  }
  for (const char* word : {".nan", ".NaN", ".NAN", "nan", "NaN"}) {
    if (text == word) return std::numeric_limits<double>::quiet_NaN();
  }
  return std::nullopt;
}

}  // namespace

std::optional<int64_t> WholeNumber(double value) {
  constexpr double kMost = 9007199254740992.0;  // 2^53
  if (!(value >= -kMost && value <= kMost) || std::trunc(value) != value) return std::nullopt;
  return static_cast<int64_t>(value);
}

std::optional<NumberText> ReadNumberText(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const bool negative = text[0] == '-';
  const std::string_view magnitude = negative || text[0] == '+' ? text.substr(1) : text;
  NumberText number;
  if (const std::optional<double> non_finite = ReadNonFinite(magnitude, negative)) {
    number.value = *non_finite;
    return number;
  }
  bool digits_only = false;
  if (!IsUnsignedNumber(magnitude, &digits_only)) return std::nullopt;

  const absl::from_chars_result read =
      absl::from_chars(magnitude.data(), magnitude.data() + magnitude.size(), number.value);
  if (read.ec == std::errc::result_out_of_range) {  // abseil leaves the largest or the smallest double there
    number.value = number.value > 1.0 ? std::numeric_limits<double>::infinity() : 0.0;
  }
  if (negative) number.value = -number.value;
  if (digits_only) {
    int64_t integer = 0;
    const std::string signed_text = (negative ? "-" : "") + std::string(magnitude);
    const std::from_chars_result exact =
        std::from_chars(signed_text.data(), signed_text.data() + signed_text.size(), integer);
    if (exact.ec == std::errc()) number.integer = integer;
  } else {
    number.integer = WholeNumber(number.value);
  }
  return number;
}

}  // namespace seedbed
