#include "cli/render/format.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"

namespace seedbed::cli {

std::string FormatDuration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  if (seconds < 9.95) return absl::StrFormat("%.1fs", seconds);
  if (seconds > 1e11) return "?";
  const int64_t whole = std::llround(seconds);
  if (whole < 60) return absl::StrCat(whole, "s");
  if (whole < 3600) return absl::StrFormat("%dm %02ds", whole / 60, whole % 60);
  if (whole < 86400) return absl::StrFormat("%dh %02dm", whole / 3600, whole % 3600 / 60);
  return absl::StrFormat("%dd %dh", whole / 86400, whole % 86400 / 3600);
}

std::string FormatCount(int64_t count) {
  std::string digits = absl::StrCat(count);
  const int64_t first = digits[0] == '-' ? 1 : 0;
  for (int64_t at = static_cast<int64_t>(digits.size()) - 3; at > first; at -= 3) digits.insert(at, ",");
  return digits;
}

std::string FormatStep(int64_t step) {
  return step < 0 ? std::string() : FormatCount(step);
}

std::string FormatPlural(int64_t count, const std::string& noun) {
  return absl::StrCat(FormatCount(count), " ", noun, count == 1 ? "" : "s");
}

std::string FormatMedian(double value) {
  if (!std::isfinite(value)) return "—";
  if (std::abs(value) >= 1000 || value == std::floor(value)) return FormatCount(std::llround(value));
  return absl::StrFormat("%.1f", value);
}

std::string FormatRate(double per_second) {
  if (!std::isfinite(per_second) || per_second < 0) return "?";
  if (per_second < 9.95) return absl::StrFormat("%.1f", per_second);
  if (per_second < 9999.5) return FormatCount(std::llround(per_second));
  if (per_second < 999'950) return absl::StrFormat("%.1fk", per_second / 1e3);
  return absl::StrFormat("%.1fM", per_second / 1e6);
}

std::string FormatNumber(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  char buffer[64];
  const std::to_chars_result result = std::to_chars(buffer, buffer + sizeof(buffer), value);
  std::string text(buffer, result.ptr);
  const size_t exponent = text.find('e');
  if (exponent == std::string::npos) return text;
  // "1e-05" and "1e+20" as people write them: "1e-5", "1e20".
  size_t digits = exponent + 1;
  if (text[digits] == '+') {
    text.erase(digits, 1);
  } else if (text[digits] == '-') {
    ++digits;
  }
  while (digits + 1 < text.size() && text[digits] == '0') text.erase(digits, 1);
  return text;
}

std::string FormatTime(int64_t microseconds) {
  if (microseconds == 0) return "";
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixMicros(microseconds), absl::LocalTimeZone());
}

std::string FormatTimeUtc(int64_t microseconds) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::FromUnixMicros(microseconds), absl::UTCTimeZone());
}

std::string FormatAgo(int64_t microseconds, int64_t now_microseconds) {
  if (microseconds == 0) return "";
  const int64_t seconds = std::max<int64_t>(0, (now_microseconds - microseconds) / 1'000'000);
  if (seconds < 60) return absl::StrCat(seconds, "s ago");
  if (seconds < 3600) return absl::StrCat(seconds / 60, "m ago");
  if (seconds < 86400) return absl::StrCat(seconds / 3600, "h ago");
  return absl::StrCat(seconds / 86400, "d ago");
}

std::string FormatValue(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return FormatNumber(value.get<double>());
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::map<std::string, std::string> ShortNames(const std::vector<std::string>& names) {
  std::map<std::string, std::string> result;
  for (const std::string& name : names) {
    size_t start = name.rfind('.');
    while (start != std::string::npos) {
      const std::string tail = name.substr(start);  // with its dot: whole parts only
      const bool shared = std::any_of(names.begin(), names.end(), [&](const std::string& other) {
        if (other == name) return false;
        return "." + other == tail ||
               (other.size() >= tail.size() && other.compare(other.size() - tail.size(), tail.size(), tail) == 0);
      });
      if (!shared) break;
      start = start == 0 ? std::string::npos : name.rfind('.', start - 1);
    }
    result[name] = start == std::string::npos ? name : name.substr(start + 1);
  }
  return result;
}

std::string FormatVaried(const std::string& varied_json) {
  const Json varied = Json::parse(varied_json, nullptr, /*allow_exceptions=*/false);
  if (!varied.is_object()) return "";
  std::vector<std::string> names;
  for (const auto& entry : varied.items()) names.push_back(entry.key());
  const std::map<std::string, std::string> short_names = ShortNames(names);
  std::vector<std::string> words;
  for (const auto& entry : varied.items()) {
    words.push_back(absl::StrCat(short_names.at(entry.key()), "=", FormatValue(entry.value())));
  }
  return absl::StrJoin(words, " ");
}

std::string FormatRanges(std::vector<int64_t> numbers) {
  std::sort(numbers.begin(), numbers.end());
  std::vector<std::string> parts;
  for (size_t i = 0; i < numbers.size();) {
    size_t j = i;
    while (j + 1 < numbers.size() && numbers[j + 1] - numbers[j] == 1) ++j;
    parts.push_back(i == j ? absl::StrCat(numbers[i]) : absl::StrCat(numbers[i], "-", numbers[j]));
    i = j + 1;
  }
  return absl::StrJoin(parts, ", ");
}

}  // namespace seedbed::cli
