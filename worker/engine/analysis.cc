#include "worker/engine/analysis.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/engine/logit_measures.h"

namespace seedbed::engine {
namespace {

constexpr const char* kEmbeddingName = "embedding.weight";

void Set(Metric metric, double value, MetricRow* row) {
  if (!std::isnan(value)) (*row)[metric] = value;
}

void SetMargins(const MarginMeter& margins, Metric mean, Metric smallest, MetricRow* row) {
  if (std::isnan(margins.mean())) return;
  (*row)[mean] = margins.mean();
  (*row)[smallest] = margins.smallest;
}

void MeasureWeightNorms(const ModelLayout& layout, const std::vector<double>& parameters, MetricRow* row) {
  for (const TensorLayout& tensor : layout.tensors) {
    double squares = 0;
    for (int64_t i = tensor.offset; i < tensor.offset + tensor.size; ++i) squares += parameters[i] * parameters[i];
    row->others.emplace_back(absl::StrCat(kWeightNormFamily, ".", tensor.name), std::sqrt(squares));
  }
}

}  // namespace

absl::StatusOr<Analysis> Analysis::Create(const RunParameters& run) {
  SEEDBED_ASSIGN_OR_RETURN(Task task, BuildTask(run.task));
  return Analysis(run, std::move(task));
}

Analysis::Analysis(const RunParameters& run, Task task)
    : task_(std::move(task)),
      loss_(run.loss),
      is_addition_(run.task.operation == "add"),
      symbol_order_(SymbolOrder(run.task)) {}

void Analysis::Measure(Learner* learner, int replica, MetricRow* row) const {
  const std::vector<double> parameters = learner->Parameters(replica);
  MeasureWeightNorms(learner->layout(), parameters, row);
  MeasureLogits(learner, replica, MeasureSpectrum(learner->layout(), parameters, row), row);
}

std::vector<int64_t> Analysis::MeasureSpectrum(const ModelLayout& layout, const std::vector<double>& parameters,
                                               MetricRow* row) const {
  const auto embedding = std::find_if(layout.tensors.begin(), layout.tensors.end(),
                                      [](const TensorLayout& tensor) { return tensor.name == kEmbeddingName; });
  if (!symbol_order_ || embedding == layout.tensors.end()) return {};
  const Spectrum spectrum = SpectrumOf(parameters.data() + embedding->offset, embedding->shape[1], *symbol_order_);
  Set(Metric::kEmbeddingTop5Share, TopShare(spectrum, kKeyFrequencyCount, false), row);
  Set(Metric::kEmbeddingTop5ShareWithConstant, TopShare(spectrum, kKeyFrequencyCount, true), row);
  Set(Metric::kEmbeddingGini, SpectrumGini(spectrum), row);
  Set(Metric::kEmbeddingParticipation, spectrum.inverse_participation_ratio, row);
  const std::vector<int64_t> frequencies = KeyFrequencies(spectrum, kKeyFrequencyCount);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    row->values[static_cast<size_t>(Metric::kKeyFrequency1) + i] = static_cast<double>(frequencies[i]);
  }
  return frequencies;
}

void Analysis::MeasureLogits(Learner* learner, int replica, const std::vector<int64_t>& frequencies,
                             MetricRow* row) const {
  const LogitsFunction logits = [&](const std::vector<Example>& examples) {
    return learner->Logits(replica, examples);
  };
  const int64_t classes = task_.classes;
  const bool has_components = is_addition_ && !frequencies.empty();
  SumComponents components(has_components ? task_.symbols : 0, classes);
  MarginMeter train, test;
  const auto measure = [&](const std::vector<Example>& examples, MarginMeter* margins) {
    ForEachLogits(examples, classes, logits, [&](const Example& example, const double* values) {
      margins->Add(example, values, classes);
      if (has_components) components.Add(example, values);
    });
  };
  measure(task_.train, &train);
  measure(task_.test, &test);
  SetMargins(train, Metric::kTrainLogitMargin, Metric::kTrainLogitMarginMin, row);
  SetMargins(test, Metric::kTestLogitMargin, Metric::kTestLogitMarginMin, row);
  if (!has_components) return;
  const std::vector<double> component = components.Component(frequencies);
  Set(Metric::kRestrictedLoss, RestrictedLoss(task_, loss_, components.Mean(), component), row);
  Set(Metric::kExcludedLoss, ExcludedLoss(task_, loss_, component, logits), row);
}

}  // namespace seedbed::engine
