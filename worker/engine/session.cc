#include "worker/engine/session.h"

#include <time.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/schema/modular.h"
#include "common/schema/modular_operations.h"
#include "worker/engine/checkpoint_file.h"
#include "worker/engine/schedule.h"

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

absl::Status NeverMeasured(const std::string& metric, const std::string& why) {
  return absl::InvalidArgumentError(absl::StrCat("stop rule: ", metric, " is never measured: ", why));
}

// Whether each stop rule has a metric that this run measures; with one that never comes it would never end a run, or
// always.
absl::Status CheckThatMetricsCome(const RunSpecification& specification) {
  const TrainerSchema& schema = ModularTrainerSchema();
  SEEDBED_ASSIGN_OR_RETURN(const Json complete, CompleteParameters(schema, specification.parameters));
  for (const StopRule& rule : specification.shared.stop) {
    const MetricDefinition* metric = schema.FindMetric(rule.metric);
    if (metric == nullptr) continue;  // the monitor refuses it, or the rule is about the loss being finite
    if (metric->at_analyses_only && specification.shared.metrics.analyze_every == 0) {
      return NeverMeasured(rule.metric, "metrics.analyze_every is 0");
    }
    const std::string why = WhyMetricIsAbsent(schema, rule.metric, complete);
    if (!why.empty()) return NeverMeasured(rule.metric, absl::StrCat("it is ", why));
  }
  return absl::OkStatus();
}

// The same of weight norms, of which there is one per tensor.
absl::Status CheckThatNormsCome(const RunTemplate& shared, const ModelLayout& layout) {
  const std::string prefix = absl::StrCat(kWeightNormFamily, ".");
  for (const StopRule& rule : shared.stop) {
    if (rule.metric.rfind(prefix, 0) != 0) continue;
    std::vector<std::string> names;
    for (const TensorLayout& tensor : layout.tensors) names.push_back(tensor.name);
    const std::string name = rule.metric.substr(prefix.size());
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    return NeverMeasured(rule.metric,
                         absl::StrCat("the model has no '", name, "' (it has ", absl::StrJoin(names, ", "), ")"));
  }
  return absl::OkStatus();
}

// Adds the time that the calling thread computes, from here to its end, to a total.
class CpuMeter {
 public:
  explicit CpuMeter(double* total) : total_(total), start_(Seconds(CLOCK_THREAD_CPUTIME_ID)) {}
  ~CpuMeter() { *total_ += Seconds(CLOCK_THREAD_CPUTIME_ID) - start_; }
  CpuMeter(const CpuMeter&) = delete;
  CpuMeter& operator=(const CpuMeter&) = delete;

 private:
  double* const total_;
  const double start_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Session>> Session::Create(const RunSpecification& specification,
                                                         const LearnerFactory& make_learner) {
  double cpu_seconds = 0;
  std::unique_ptr<Learner> learner;
  RunSpecification resolved = specification;
  if (specification.shared.trainer != ModularTrainerSchema().name) {
    return absl::InvalidArgumentError(absl::StrCat("this engine has no trainer '", specification.shared.trainer,
                                                   "', only '", ModularTrainerSchema().name, "'"));
  }
  if (specification.shared.budget.steps < 0) return absl::InvalidArgumentError("budget.steps: expected at least 0");
  if (specification.shared.metrics.log_every < 1 || specification.shared.metrics.evaluate_every < 1) {
    return absl::InvalidArgumentError("metrics: expected log_every and evaluate_every of at least 1");
  }
  if (specification.shared.metrics.analyze_every < 0) {
    return absl::InvalidArgumentError("metrics: expected analyze_every of at least 0");
  }
  SEEDBED_ASSIGN_OR_RETURN(resolved.parameters, ResolveParameters(ModularTrainerSchema(), specification.parameters));
  SEEDBED_ASSIGN_OR_RETURN(const RunParameters parameters, ReadRunParameters(resolved.parameters));
  SEEDBED_ASSIGN_OR_RETURN(RunMonitor monitor, RunMonitor::Create(specification.shared));
  SEEDBED_RETURN_IF_ERROR(CheckThatMetricsCome(specification));
  {
    const CpuMeter meter(&cpu_seconds);
    SEEDBED_ASSIGN_OR_RETURN(learner, make_learner(parameters, static_cast<uint64_t>(specification.seed)));
  }
  auto session = std::unique_ptr<Session>(
      new Session(std::move(resolved), parameters, std::move(monitor), std::move(learner), cpu_seconds));
  SEEDBED_RETURN_IF_ERROR(CheckThatNormsCome(specification.shared, session->learner_->layout()));
  if (specification.shared.metrics.analyze_every > 0) {
    SEEDBED_ASSIGN_OR_RETURN(session->analysis_, Analysis::Create(parameters));
  }
  return session;
}

absl::StatusOr<std::unique_ptr<Session>> Session::Resume(const RunSpecification& specification, const std::string& path,
                                                         const LearnerFactory& make_learner) {
  // First what is wrong with the run itself.
  const absl::StatusOr<Json> resolved = ResolveParameters(ModularTrainerSchema(), specification.parameters);
  if (!resolved.ok()) return resolved.status();
  SEEDBED_ASSIGN_OR_RETURN(const Checkpoint saved, ReadCheckpoint(path));
  const auto unusable = [&](const absl::Status& status) {
    return absl::Status(status.code(), absl::StrCat("checkpoint ", path, ": ", std::string(status.message())));
  };
  if (const absl::Status same = CheckSameSpecification(saved.specification, specification); !same.ok()) {
    return unusable(same);
  }
  SEEDBED_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Create(specification, make_learner));
  if (saved.precision != session->precision_) return unusable(absl::DataLossError("it is of another precision"));
  const absl::StatusOr<LearnerState> state = WithGaps(session->learner_->layout(), saved.tensors, saved.state);
  if (!state.ok()) return unusable(state.status());
  if (const absl::Status restored = session->learner_->Restore(0, *state); !restored.ok()) return unusable(restored);
  if (const absl::Status restored = session->monitor_.Restore(saved.monitor); !restored.ok()) return unusable(restored);
  session->step_ = saved.step;
  session->is_measured_ = true;
  if (saved.ending_reason) session->ending_ = Ending{*saved.ending_reason, saved.ending_held_since};
  session->earlier_wall_seconds_ = saved.wall_seconds;
  session->cpu_seconds_ += saved.cpu_seconds;
  return session;
}

Session::Session(RunSpecification specification, const RunParameters& parameters, RunMonitor monitor,
                 std::unique_ptr<Learner> learner, double cpu_seconds)
    : specification_(std::move(specification)),
      precision_(parameters.precision),
      optimizer_(parameters.optimizer),
      has_mirrors_(FindModularOperation(parameters.task.operation)->commutes),
      monitor_(std::move(monitor)),
      learner_(std::move(learner)),
      wall_start_(Seconds(CLOCK_MONOTONIC)),
      cpu_seconds_(cpu_seconds) {}

double Session::WallSeconds() const {
  return Seconds(CLOCK_MONOTONIC) - wall_start_;
}

Session::Progress Session::Measure() {
  const CpuMeter meter(&cpu_seconds_);
  const MetricIntervals& intervals = specification_.shared.metrics;
  const bool evaluation_is_due = step_ % intervals.evaluate_every == 0;
  const bool analysis_is_due = intervals.analyze_every > 0 && step_ % intervals.analyze_every == 0;
  const bool row_is_due = evaluation_is_due || analysis_is_due || step_ % intervals.log_every == 0;
  MetricRow row;
  row.step = step_;
  const TrainMeasure train = learner_->Forward()[0];
  if (learner_->full_batch()) {
    NoteTraining(train, &row);
  } else {
    monitor_.ObserveBatch(step_, train.loss);
    row[Metric::kBatchLoss] = train.loss;
  }
  if (row_is_due) monitor_.ObserveRow(row);

  learner_->Backward();
  has_gradient_ = true;
  // What is due has its say in whether the run ends; the last step is evaluated and analysed in any case.
  const auto evaluate = [&] { Announced(&evaluation_seconds_, [&] { Evaluate(&row); }); };
  const auto analyze = [&] {
    if (analysis_) Announced(&analysis_seconds_, [&] { Analyze(&row); });
  };
  if (evaluation_is_due) evaluate();
  if (analysis_is_due) analyze();
  ending_ = monitor_.EndingAt(step_, WallSeconds());
  if (ending_ && !evaluation_is_due) evaluate();
  if (ending_ && !analysis_is_due) analyze();
  is_measured_ = true;

  Progress progress;
  if (row_is_due || ending_) progress.row = row;
  progress.ending = ending_;
  return progress;
}

void Session::Update() {
  const CpuMeter meter(&cpu_seconds_);
  if (!has_gradient_) {
    learner_->Forward();
    learner_->Backward();
  }
  learner_->Update();
  ++step_;
  is_measured_ = false;
  has_gradient_ = false;
}

Session::Progress Session::Advance() {
  Progress progress;
  progress.ending = ending_;
  if (!is_measured_) progress = Measure();
  if (!ending_) Update();
  return progress;
}

absl::StatusOr<std::string> Session::Save(const std::string& path, const Json& numerics) const {
  if (!is_measured_) return absl::FailedPreconditionError("checkpoint: the step is not measured yet");
  const ModelLayout& layout = learner_->layout();
  Checkpoint checkpoint;
  checkpoint.specification = specification_;
  checkpoint.step = step_;
  checkpoint.precision = precision_;
  checkpoint.numerics = numerics;
  checkpoint.monitor = monitor_.State();
  checkpoint.wall_seconds = earlier_wall_seconds_ + WallSeconds();
  checkpoint.cpu_seconds = cpu_seconds_;
  if (ending_) {
    checkpoint.ending_reason = ending_->reason;
    checkpoint.ending_held_since = ending_->held_since;
  }
  checkpoint.tensors = TensorsOf(layout);
  checkpoint.state = WithoutGaps(layout, learner_->State(0));
  return WriteCheckpoint(path, checkpoint);
}

void Session::NoteTraining(const TrainMeasure& train, MetricRow* row) {
  const double accuracy = static_cast<double>(train.correct) / static_cast<double>(train.examples);
  monitor_.ObserveTraining(step_, train.loss, accuracy);
  (*row)[Metric::kTrainLoss] = train.loss;
  (*row)[Metric::kTrainAccuracy] = accuracy;
}

void Session::Announced(std::optional<double>* last_seconds, const std::function<void()>& work) {
  if (announce_) announce_(*last_seconds);
  const double start = Seconds(CLOCK_MONOTONIC);
  work();
  *last_seconds = Seconds(CLOCK_MONOTONIC) - start;
}

void Session::Evaluate(MetricRow* row) {
  MetricRow evaluated;
  evaluated.step = row->step;
  if (!learner_->full_batch()) NoteTraining(learner_->MeasureTraining()[0], &evaluated);
  const TestMeasure test = learner_->Evaluate()[0];
  const int64_t examples = test.mirrored.examples + test.unseen.examples;
  evaluated[Metric::kTestLoss] = (test.mirrored.loss_sum + test.unseen.loss_sum) / static_cast<double>(examples);
  evaluated[Metric::kTestAccuracy] = Accuracy(test.mirrored.correct + test.unseen.correct, examples);
  if (has_mirrors_) {
    evaluated[Metric::kTestAccuracyUnseen] = Accuracy(test.unseen.correct, test.unseen.examples);
    evaluated[Metric::kTestAccuracyMirrored] = Accuracy(test.mirrored.correct, test.mirrored.examples);
  }
  evaluated[Metric::kParameterRms] = learner_->ParameterRms()[0];
  evaluated[Metric::kGradientNorm] = learner_->GradientNorms()[0];
  evaluated[Metric::kEffectiveDecay] = EffectiveDecay(optimizer_, step_);
  monitor_.ObserveEvaluation(row->step, *evaluated[Metric::kTestLoss], *evaluated[Metric::kTestAccuracy]);
  monitor_.ObserveRow(evaluated);
  row->Merge(evaluated);
}

void Session::Analyze(MetricRow* row) {
  MetricRow analysed;
  analysed.step = row->step;
  analysis_->Measure(learner_.get(), 0, &analysed);
  monitor_.ObserveRow(analysed);
  row->Merge(analysed);
}

Json Session::Summary() const {
  Json summary = monitor_.Summary(ending_);
  summary["wall_seconds"] = earlier_wall_seconds_ + WallSeconds();
  summary["cpu_seconds"] = cpu_seconds_;
  return summary;
}

}  // namespace seedbed::engine
