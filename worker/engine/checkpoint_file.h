#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/json.h"
#include "common/schema/run_specification.h"
#include "worker/engine/learner_state.h"
#include "worker/engine/model_layout.h"
#include "worker/engine/run_parameters.h"

// The file that a run goes on from (docs/engine-protocol.md, "Checkpoints"): 32 bytes of magic, version and sizes; a
// header in JSON; the tensors' values, little-endian, in the run's precision; the SHA-256 of all of it.
namespace seedbed::engine {

inline constexpr uint32_t kCheckpointVersion = 1;

// One tensor as a checkpoint names it.
struct SavedTensor {
  std::string name;
  std::vector<int64_t> shape;
  int64_t size = 0;  // in elements
};

// A run after `step` updates, its row of that step measured.
struct Checkpoint {
  RunSpecification specification;  // parameters resolved
  int64_t step = 0;
  Precision precision = Precision::kFloat32;
  Json numerics;  // the fingerprint of the engine that wrote it
  Json monitor;   // RunMonitor::State
  // Of training so far, over all attempts.
  double wall_seconds = 0;
  double cpu_seconds = 0;
  // Where the run had ended when this was written: Ending's reason and held_since.
  std::optional<std::string> ending_reason;
  std::optional<int64_t> ending_held_since;
  std::vector<SavedTensor> tensors;  // in the order of the layout
  // Of each slab the tensors' values one after another, without gaps.
  LearnerState state;
};

// Slabs as `layout` has them from slabs without gaps, and the reverse. FAILED_PRECONDITION if `tensors` are not the
// layout's.
std::vector<SavedTensor> TensorsOf(const ModelLayout& layout);
LearnerState WithoutGaps(const ModelLayout& layout, const LearnerState& state);
absl::StatusOr<LearnerState> WithGaps(const ModelLayout& layout, const std::vector<SavedTensor>& tensors,
                                      const LearnerState& state);

// Writes beside `path`, syncs, renames and syncs the directory: `path` is whole or not there (or what it was before).
// Returns the SHA-256 of the whole file in hexadecimal digits. Errors name the path and the system's reason.
absl::StatusOr<std::string> WriteCheckpoint(const std::string& path, const Checkpoint& checkpoint);

// DATA_LOSS for a file that is cut short, damaged or no checkpoint; UNIMPLEMENTED for one of a newer version; each says
// what to do. NOT_FOUND and other errors of the system begin with "cannot read checkpoint". Allocates no more than a
// few times the file's true size, and nothing beyond what this machine has.
absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path);

// FAILED_PRECONDITION, naming the first difference, unless both are of one run: the same specification once parameters
// are resolved.
absl::Status CheckSameSpecification(const RunSpecification& saved, const RunSpecification& asked);

}  // namespace seedbed::engine
