#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/json.h"
#include "common/schema/run_specification.h"
#include "worker/engine/measures.h"

namespace seedbed::engine {

// Thresholds of the first-step measures t_train_* and t_test_*.
inline constexpr std::array<int, 4> kAccuracyPercents = {50, 90, 95, 99};

// Why a run ended by itself.
struct Ending {
  std::string reason;  // "budget", "time" or "stop rule …"
  // For a threshold rule: the first of the successive rows that met it.
  std::optional<int64_t> held_since;
};

// Watches one run: first crossings, stop rules, budget and outcome. Pure bookkeeping, without torch or clocks. For each
// step, in this order: ObserveTraining or ObserveBatch; ObserveRow with the row's training metrics if the step is
// logged; ObserveEvaluation and ObserveRow with the others if it is evaluated; ObserveRow with those of an analysis;
// EndingAt at any point asks whether what is known so far ends the run.
class RunMonitor {
 public:
  // INVALID_ARGUMENT if a stop rule names a metric that the trainer does not have.
  static absl::StatusOr<RunMonitor> Create(const RunTemplate& shared);

  // Over all training examples: at every step of full-batch training, logged or not, which is what makes t_train_*
  // exact; with minibatches before each ObserveEvaluation.
  void ObserveTraining(int64_t step, double loss, double accuracy);
  // With minibatches, at every step: whether the loss of the batch is a finite number.
  void ObserveBatch(int64_t step, double loss);
  void ObserveEvaluation(int64_t step, double loss, double accuracy);
  // Metrics that are absent from `row` are passed over.
  void ObserveRow(const MetricRow& row);

  // `seconds`: of training so far. The ending that holds at `step`, the first of: not finite, thresholds, not reached,
  // budget, time.
  std::optional<Ending> EndingAt(int64_t step, double seconds) const;

  // One of the schema's outcomes, tested in the order diverged, generalised, grokked, memorised, not_memorised.
  // "generalised" is 99 % of the test pairs no later than the first evaluation at or after the step with 99 % of the
  // training pairs (which may never come).
  std::string Outcome() const;
  // The keys of the protocol's `summary` that follow from the measures.
  Json Summary(const std::optional<Ending>& ending) const;

  // All that was observed, for a checkpoint; a monitor of the same template that is restored to it goes on as if it had
  // observed it. INVALID_ARGUMENT, naming the key, for what State cannot have written; the monitor is then of no use.
  Json State() const;
  absl::Status Restore(const Json& state);

 private:
  struct RuleState {
    StopRule rule;
    std::optional<Metric> metric;  // nothing if it is one of a family, known by its name
    std::string text;              // for the reason
    int64_t held = 0;              // successive rows that met it, up to the last
    int64_t held_since = 0;
    bool was_reached = false;
  };
  using Crossings = std::array<std::optional<int64_t>, kAccuracyPercents.size()>;

  explicit RunMonitor(const Budget& budget) : budget_(budget) {}
  void NoteReached(Metric metric, double value);
  static void NoteCrossings(int64_t step, double accuracy, Crossings* crossings);

  Budget budget_;
  std::vector<RuleState> rules_;
  Crossings train_crossings_, test_crossings_;
  std::optional<int64_t> first_nonfinite_step_;
  // The first evaluation at or after t_train_99.
  std::optional<int64_t> evaluation_after_memorising_;
  std::optional<double> last_train_loss_, last_train_accuracy_, last_test_loss_, last_test_accuracy_;
};

}  // namespace seedbed::engine
