#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

// Selectors as people type them. Pure.
namespace seedbed {

// Something that has an id and a name: a sweep.
struct Selectable {
  int64_t id = 0;
  std::string name;
};

// The ids that `selector` names among `known`, rising, each once. Words are separated by commas; each is, tried in this
// order: the exact name of one of `known`; "all"; "last" (the highest id); an id; a range "3-7" of ids, of which at
// least one must exist. Blanks around words are ignored. `kind` ("sweep") stands in messages.
// NOT_FOUND for a word that names nothing, with the nearest known name; INVALID_ARGUMENT for an empty selector or word
// and for a range that runs backwards.
absl::StatusOr<std::vector<int64_t>> Select(const std::string& selector, const std::vector<Selectable>& known,
                                            const std::string& kind);

}  // namespace seedbed
