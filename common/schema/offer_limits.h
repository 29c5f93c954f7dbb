#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace seedbed {

// Of what one worker offers: its trainers' names, numerics fingerprints and pack parameters together. The coordinator
// keeps it in memory for every worker that is there; an engine's fingerprint has about a kilobyte.
constexpr size_t kMostOfferBytes = 16 << 10;

// What one trainer adds to it.
inline size_t OfferBytes(const std::string& trainer, const std::string& numerics_json,
                         const std::vector<std::string>& pack_parameters) {
  size_t bytes = trainer.size() + numerics_json.size();
  for (const std::string& name : pack_parameters) bytes += name.size();
  return bytes;
}

}  // namespace seedbed
