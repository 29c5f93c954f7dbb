#include "worker/engine/session.h"

#include <time.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/schema/modular.h"
#include "common/schema/modular_operations.h"

namespace seedbed::engine {
namespace {

double Seconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::optional<double> Accuracy(int64_t correct, int64_t examples) {
  if (examples == 0) return std::nullopt;
  return static_cast<double>(correct) / static_cast<double>(examples);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Session>> Session::Create(const RunSpecification& specification) {
  if (specification.shared.trainer != ModularTrainerSchema().name) {
    return absl::InvalidArgumentError(absl::StrCat("this engine has no trainer '", specification.shared.trainer,
                                                   "', only '", ModularTrainerSchema().name, "'"));
  }
  if (specification.shared.budget.steps < 0) return absl::InvalidArgumentError("budget.steps: expected at least 0");
  if (specification.shared.metrics.log_every < 1 || specification.shared.metrics.evaluate_every < 1) {
    return absl::InvalidArgumentError("metrics: expected log_every and evaluate_every of at least 1");
  }
  if (specification.shared.metrics.analyze_every != 0) {
    return absl::InvalidArgumentError("metrics.analyze_every: this engine has nothing to analyse; leave it out");
  }
  SEEDBED_ASSIGN_OR_RETURN(const RunParameters parameters, ReadRunParameters(specification.parameters));
  SEEDBED_ASSIGN_OR_RETURN(RunMonitor monitor, RunMonitor::Create(specification.shared));
  SEEDBED_ASSIGN_OR_RETURN(std::unique_ptr<Learner> learner,
                           MakeLearner(parameters, static_cast<uint64_t>(specification.seed)));
  const bool has_mirrors = FindModularOperation(parameters.task.operation)->commutes;
  return std::unique_ptr<Session>(new Session(specification, has_mirrors, std::move(monitor), std::move(learner)));
}

Session::Session(const RunSpecification& specification, bool has_mirrors, RunMonitor monitor,
                 std::unique_ptr<Learner> learner)
    : intervals_(specification.shared.metrics),
      has_mirrors_(has_mirrors),
      monitor_(std::move(monitor)),
      learner_(std::move(learner)),
      wall_start_(Seconds(CLOCK_MONOTONIC)),
      cpu_start_(Seconds(CLOCK_THREAD_CPUTIME_ID)) {}

double Session::WallSeconds() const {
  return Seconds(CLOCK_MONOTONIC) - wall_start_;
}

Session::Progress Session::Advance() {
  const TrainMeasure train = learner_->Forward()[0];
  const double accuracy = static_cast<double>(train.correct) / static_cast<double>(train.examples);
  monitor_.ObserveTraining(step_, train.loss, accuracy);

  MetricRow row;
  row.step = step_;
  row[Metric::kTrainLoss] = train.loss;
  row[Metric::kTrainAccuracy] = accuracy;
  const bool evaluation_is_due = step_ % intervals_.evaluate_every == 0;
  const bool row_is_due = evaluation_is_due || step_ % intervals_.log_every == 0;
  if (row_is_due) monitor_.ObserveRow(row);
  // An evaluation that is due has its say in whether the run ends; the last step is evaluated in any case.
  if (!evaluation_is_due) ending_ = monitor_.EndingAt(step_, WallSeconds());

  learner_->Backward();
  if (evaluation_is_due || ending_) Evaluate(&row);
  if (!ending_) ending_ = monitor_.EndingAt(step_, WallSeconds());

  Progress progress;
  if (row_is_due || ending_) progress.row = row;
  progress.ending = ending_;
  if (!ending_) {
    learner_->Update();
    ++step_;
  }
  return progress;
}

void Session::Evaluate(MetricRow* row) {
  const TestMeasure test = learner_->Evaluate()[0];
  const int64_t examples = test.mirrored.examples + test.unseen.examples;
  MetricRow evaluated;
  evaluated.step = row->step;
  evaluated[Metric::kTestLoss] = (test.mirrored.loss_sum + test.unseen.loss_sum) / static_cast<double>(examples);
  evaluated[Metric::kTestAccuracy] = Accuracy(test.mirrored.correct + test.unseen.correct, examples);
  if (has_mirrors_) {
    evaluated[Metric::kTestAccuracyUnseen] = Accuracy(test.unseen.correct, test.unseen.examples);
    evaluated[Metric::kTestAccuracyMirrored] = Accuracy(test.mirrored.correct, test.mirrored.examples);
  }
  evaluated[Metric::kParameterRms] = learner_->ParameterRms()[0];
  evaluated[Metric::kGradientNorm] = learner_->GradientNorms()[0];
  monitor_.ObserveEvaluation(row->step, *evaluated[Metric::kTestLoss], *evaluated[Metric::kTestAccuracy]);
  monitor_.ObserveRow(evaluated);
  evaluated[Metric::kTrainLoss] = (*row)[Metric::kTrainLoss];
  evaluated[Metric::kTrainAccuracy] = (*row)[Metric::kTrainAccuracy];
  *row = evaluated;
}

Json Session::Summary() const {
  Json summary = monitor_.Summary(ending_);
  summary["wall_seconds"] = WallSeconds();
  summary["cpu_seconds"] = Seconds(CLOCK_THREAD_CPUTIME_ID) - cpu_start_;
  return summary;
}

}  // namespace seedbed::engine
