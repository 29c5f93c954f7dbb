#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/learner.h"
#include "worker/engine/measures.h"
#include "worker/engine/run_parameters.h"
#include "worker/engine/spectrum.h"
#include "worker/engine/task.h"

namespace seedbed::engine {

inline constexpr size_t kKeyFrequencyCount = 5;

// The measures that are taken at multiples of analyze_every, because they cost several evaluations or are many: weight
// norms by tensor, the embedding's spectrum, logit margins, restricted and excluded loss. Formulas: spectrum.h,
// logit_measures.h and docs/engine.md. Stays on its learner's thread.
class Analysis {
 public:
  // Errors as BuildTask.
  static absl::StatusOr<Analysis> Create(const RunParameters& run);

  // Adds to `row` what is known of the learner's parameters, without touching its state. What means nothing for the
  // task or is not a number stays absent.
  void Measure(Learner* learner, int replica, MetricRow* row) const;

 private:
  Analysis(const RunParameters& run, Task task);
  // The key frequencies, none where there is no spectrum.
  std::vector<int64_t> MeasureSpectrum(const ModelLayout& layout, const std::vector<double>& parameters,
                                       MetricRow* row) const;
  void MeasureLogits(Learner* learner, int replica, const std::vector<int64_t>& frequencies, MetricRow* row) const;

  Task task_;
  Loss loss_;
  bool is_addition_;
  std::optional<std::vector<int32_t>> symbol_order_;
};

}  // namespace seedbed::engine
