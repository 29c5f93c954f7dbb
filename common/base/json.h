#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace seedbed {

using Json = nlohmann::json;

// The one text that a value has: keys sorted bytewise, no spaces, numbers in their shortest form that reads back to the
// same double, non-finite numbers as the strings "NaN", "Infinity" and "-Infinity" (JSON has none). Identity is decided
// on this text. `value` must hold valid UTF-8.
std::string CanonicalJson(const Json& value);

// A number as JSON, with non-finite values as the strings above.
Json JsonNumber(double value);

// The reverse of JsonNumber: accepts a number or one of the three strings.
absl::StatusOr<double> NumberFromJson(const Json& value);

// Parses text; INVALID_ARGUMENT with the byte offset instead of an exception. `what` names the text in the message.
absl::StatusOr<Json> ParseJson(const std::string& text, const std::string& what);

}  // namespace seedbed
