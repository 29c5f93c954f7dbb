#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/json.h"
#include "common/sweep_file/mistakes.h"
#include "common/sweep_file/yaml_reader.h"

// Reading single values out of the document. Each adds its own mistake and returns nothing when the node is not what it
// should be.
namespace seedbed::sweep_file {

// True for a map; adds a mistake for each key that is not in `known`, with the nearest one. `what` names the map:
// "budget".
bool CheckMap(const YamlNode& node, const std::string& what, const std::vector<std::string>& known, Mistakes* mistakes);

// True for a list with at least one element.
bool CheckList(const YamlNode& node, const std::string& what, Mistakes* mistakes);

std::optional<std::string> ReadText(const YamlNode& node, const std::string& what, Mistakes* mistakes);
std::optional<int64_t> ReadInteger(const YamlNode& node, const std::string& what, int64_t minimum, Mistakes* mistakes);
// From `minimum` to `maximum`, both included.
std::optional<int64_t> ReadInteger(const YamlNode& node, const std::string& what, int64_t minimum, int64_t maximum,
                                   Mistakes* mistakes);
// A finite number.
std::optional<double> ReadNumber(const YamlNode& node, const std::string& what, Mistakes* mistakes);
std::optional<bool> ReadBoolean(const YamlNode& node, const std::string& what, Mistakes* mistakes);

// A value as written, with its place. What it means is decided by the parameter that it is for.
struct Scalar {
  Json value;  // a string (the text as written), or null
  Location location;
};

std::optional<Scalar> ReadScalar(const YamlNode& node, const std::string& what, Mistakes* mistakes);
// A non-empty list of values.
std::vector<Scalar> ReadScalars(const YamlNode& node, const std::string& what, Mistakes* mistakes);

}  // namespace seedbed::sweep_file
