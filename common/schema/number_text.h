#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace seedbed {

// What people write for a number, in a sweep file or on a command line: decimal digits with an optional sign, point and
// exponent
// ("3", "+.5", "1e-3"), as in YAML 1.2's core schema. No hexadecimal, no underscores, no surrounding spaces.
struct NumberText {
  double value = 0;  // infinite for a number beyond the range of a double; NaN only where the text says so
  std::optional<int64_t> integer;  // set if the number is a whole one that fits exactly: "1000", "1e3", "2.0"
};

// nullopt if `text` is no number. ".nan", "NaN", ".inf", "-.inf", "Infinity" and "-Infinity" are numbers that are not
// finite.
std::optional<NumberText> ReadNumberText(std::string_view text);

// The whole number that `value` is, if it is one and lies in ±2^53, where doubles hold every whole number.
std::optional<int64_t> WholeNumber(double value);

}  // namespace seedbed
