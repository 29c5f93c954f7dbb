#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/sweep_file/mistakes.h"
#include "common/sweep_file/sweep.h"

namespace seedbed::sweep_file {

struct YamlNode;
using YamlNodePtr = std::shared_ptr<const YamlNode>;

struct YamlEntry {
  std::string key;
  Location key_location;
  YamlNodePtr value;
};

// A piece of the document with its place. Scalars keep their text as written: what type it has is decided where it is
// used, so that 1e-3, 0.001 and "0.001" are one number. An alias is the node that it names, shared.
struct YamlNode {
  enum class Kind { kNull, kScalar, kSequence, kMap };
  Kind kind = Kind::kNull;
  Location location;
  std::string text;                   // kScalar
  std::vector<YamlNodePtr> elements;  // kSequence
  std::vector<YamlEntry> entries;     // kMap: distinct keys, in the file's order, merge keys (<<) resolved
  int64_t expanded_nodes = 1;         // with aliases followed
  int height = 1;                     // with aliases followed

  bool is_null() const { return kind == Kind::kNull; }
  bool is_scalar() const { return kind == Kind::kScalar; }
  bool is_sequence() const { return kind == Kind::kSequence; }
  bool is_map() const { return kind == Kind::kMap; }
  const YamlEntry* Find(const std::string& key) const;  // nullptr if there is none
};

// Reads one YAML document whose root is a map, within the limits: size before anything else, depth and the number of
// nodes (aliases followed) while reading. Adds a mistake and returns nullptr if there is nothing to go on with; a
// duplicate key is a mistake too, but only the later one is left out.
YamlNodePtr ReadYaml(const std::string& text, const SweepLimits& limits, Mistakes* mistakes);

// "a map", "a list", "a value", "nothing": what stands at a node, for messages.
std::string KindOf(const YamlNode& node);

}  // namespace seedbed::sweep_file
