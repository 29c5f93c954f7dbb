#pragma once

#include <map>
#include <set>
#include <string>

#include "common/base/json.h"

namespace seedbed {

// Which parameters differ between points that are not all in one sweep file: a sweep grows by later submissions. A
// point that lacks a parameter differs from nobody in it. Not thread-safe.
class VariedParameters {
 public:
  // All of a point's parameters (CompleteParameters).
  void Add(const Json& complete);
  std::set<std::string> Names() const;  // of those that vary
  // Canonical JSON of those of a point's parameters that vary, as Configuration::varied_json has them.
  std::string Of(const Json& complete) const;

 private:
  struct Seen {
    Json first;
    bool varies = false;
  };
  std::map<std::string, Seen> seen_;
};

}  // namespace seedbed
