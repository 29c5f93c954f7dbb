#include <algorithm>
#include <cmath>
#include <utility>

#include "ATen/ATen.h"
#include "c10/core/GradMode.h"
#include "common/base/status_macros.h"
#include "worker/engine/learner.h"
#include "worker/engine/minibatch.h"
#include "worker/engine/stacked_model.h"
#include "worker/engine/stacked_optimizer.h"
#include "worker/engine/stacked_product.h"

namespace seedbed::engine {
namespace {

constexpr int64_t kEvaluationRows = 4096;  // at once, so that evaluation needs no more memory than training

at::ScalarType TypeOf(Precision precision) {
  return precision == Precision::kFloat64 ? at::kDouble : at::kFloat;
}

// Examples as int64 tensors [n].
struct ExampleTensors {
  at::Tensor a, b, label;
};

ExampleTensors ToTensors(const std::vector<Example>& examples) {
  const auto n = static_cast<int64_t>(examples.size());
  ExampleTensors tensors{at::empty({n}, at::kLong), at::empty({n}, at::kLong), at::empty({n}, at::kLong)};
  for (int64_t i = 0; i < n; ++i) {
    const Example& example = examples[static_cast<size_t>(i)];
    tensors.a.data_ptr<int64_t>()[i] = example.a;
    tensors.b.data_ptr<int64_t>()[i] = example.b;
    tensors.label.data_ptr<int64_t>()[i] = example.label;
  }
  return tensors;
}

// Whether the label's logit is the largest, the first among equals: bool [K, n] for logits [K, n, classes]. False where
// it is not a number.
at::Tensor IsCorrect(const at::Tensor& logits, const at::Tensor& label) {
  const at::Tensor index = label.view({1, -1, 1}).expand({logits.size(0), -1, 1});
  const at::Tensor is_largest = logits.eq(logits.amax({-1}, true));
  const at::Tensor is_earlier = at::arange(logits.size(-1), at::kLong).lt(label.unsqueeze(-1));  // [n, classes]
  const at::Tensor beaten = is_largest.logical_and(is_earlier).any(-1);
  return is_largest.gather(-1, index).squeeze(-1).logical_and(beaten.logical_not());
}

// The loss of each example, [K, n], in the logits' precision.
at::Tensor Losses(Loss loss, const at::Tensor& logits, const at::Tensor& label) {
  if (loss == Loss::kMse) {
    return (logits - at::one_hot(label, logits.size(-1)).to(logits.options())).square().mean(-1);
  }
  const at::Tensor index = label.view({1, -1, 1}).expand({logits.size(0), -1, 1});
  return at::log_softmax(logits, -1).gather(-1, index).squeeze(-1).neg();
}

class ReferenceLearner final : public Learner {
 public:
  ReferenceLearner(const Task& task, const ModelParameters& model, Precision precision,
                   const std::vector<ReplicaSettings>& replicas, const TrainingOptions& training)
      : model_(MakeStackedModel(model, task.symbols, task.classes)),
        layout_(model_->Layout()),
        replicas_(static_cast<int>(replicas.size())),
        settings_(replicas[0].optimizer),
        train_(ToTensors(task.train)),
        test_(ToTensors(task.test)),
        parameters_(InitialParameters(layout_, TypeOf(precision), replicas)),
        optimizer_(parameters_, layout_, replicas),
        loss_(training.loss),
        matmul_precision_(training.matmul_precision) {
    const auto examples = static_cast<int64_t>(task.train.size());
    if (training.batch_size > 0 && training.batch_size < examples) {
      for (const ReplicaSettings& replica : replicas) orders_.emplace_back(replica.seed, examples, training.batch_size);
    }
    is_mirrored_ = at::empty({static_cast<int64_t>(task.test.size())}, at::kBool);
    for (size_t i = 0; i < task.test.size(); ++i) is_mirrored_.data_ptr<bool>()[i] = task.test_is_mirrored[i];
  }

  int replicas() const override { return replicas_; }
  const ModelLayout& layout() const override { return layout_; }

  bool full_batch() const override { return orders_.empty(); }

  std::vector<TrainMeasure> Forward() override {
    const c10::AutoGradMode with_gradient(true);
    if (full_batch()) return ForwardOver(parameters_, train_, &losses_);
    // Each replica has batches of its own, so they are passed through one after another.
    std::vector<at::Tensor> losses(static_cast<size_t>(replicas_));
    std::vector<TrainMeasure> measures;
    for (int k = 0; k < replicas_; ++k) {
      const at::Tensor batch = at::tensor(orders_[k].Batch(optimizer_.updates(k)), at::kLong);
      const ExampleTensors examples{train_.a.index_select(0, batch), train_.b.index_select(0, batch),
                                    train_.label.index_select(0, batch)};
      measures.push_back(ForwardOver(Slice(k), examples, &losses[k])[0]);
    }
    losses_ = at::cat(losses);
    return measures;
  }

  void Backward() override {
    const c10::AutoGradMode with_gradient(true);
    losses_.sum().backward();
    losses_.reset();
    gradients_.clear();
    for (at::Tensor& parameter : parameters_) {
      gradients_.push_back(parameter.grad());
      parameter.mutable_grad().reset();
    }
  }

  void Update() override { optimizer_.Step(gradients_); }

  std::vector<TrainMeasure> MeasureTraining() override {
    std::vector<TrainMeasure> measures(static_cast<size_t>(replicas_));
    ForEachPart(train_, [&](const at::Tensor& losses, const at::Tensor& correct, int64_t, int64_t) {
      for (int k = 0; k < replicas_; ++k) {
        measures[k].loss += losses[k].sum().item<double>();
        measures[k].correct += correct[k].sum().item<int64_t>();
        measures[k].examples += correct.size(-1);
      }
    });
    for (TrainMeasure& measure : measures) measure.loss /= static_cast<double>(measure.examples);
    return measures;
  }

  std::vector<TestMeasure> Evaluate() override {
    std::vector<TestMeasure> measures(static_cast<size_t>(replicas_));
    ForEachPart(test_, [&](const at::Tensor& losses, const at::Tensor& correct, int64_t begin, int64_t end) {
      const at::Tensor is_mirrored = is_mirrored_.slice(0, begin, end);
      for (int k = 0; k < replicas_; ++k) {
        Add(losses[k], correct[k], is_mirrored, &measures[k].mirrored);
        Add(losses[k], correct[k], is_mirrored.logical_not(), &measures[k].unseen);
      }
    });
    return measures;
  }

  std::vector<double> Logits(int replica, const std::vector<Example>& examples) override {
    const c10::NoGradGuard no_grad;
    const ExampleTensors tensors = ToTensors(examples);
    const std::vector<at::Tensor> parameters = Slice(replica);
    std::vector<double> all;
    const auto n = static_cast<int64_t>(examples.size());
    for (int64_t begin = 0; begin < n; begin += kEvaluationRows) {
      const int64_t end = std::min(n, begin + kEvaluationRows);
      const at::Tensor logits = ModelLogits(parameters, tensors.a.slice(0, begin, end), tensors.b.slice(0, begin, end))
                                    .to(at::kDouble)
                                    .contiguous();
      all.insert(all.end(), logits.data_ptr<double>(), logits.data_ptr<double>() + logits.numel());
    }
    return all;
  }

  std::vector<double> GradientNorms() override { return Norms(gradients_); }

  std::vector<double> ParameterRms() override {
    std::vector<double> rms = Norms(parameters_);
    for (double& value : rms) value /= std::sqrt(static_cast<double>(layout_.parameter_count));
    return rms;
  }

  std::vector<double> Parameters(int replica) const override { return Slab(parameters_, replica); }
  std::vector<double> Gradient(int replica) const override { return Slab(gradients_, replica); }

  LearnerState State(int replica) const override {
    LearnerState state;
    state.updates = optimizer_.updates(replica);
    state.slabs["parameters"] = Slab(parameters_, replica);
    for (const auto& [name, tensors] : optimizer_.Memory()) state.slabs[name] = Slab(tensors, replica);
    return state;
  }

  absl::Status Restore(int replica, const LearnerState& state) override {
    SEEDBED_RETURN_IF_ERROR(CheckState(state, layout_, settings_));
    optimizer_.set_updates(replica, state.updates);
    SetSlab(state.slabs.at("parameters"), replica, parameters_);
    for (const auto& [name, tensors] : optimizer_.Memory()) SetSlab(state.slabs.at(name), replica, tensors);
    return absl::OkStatus();
  }

 private:
  // Leaves that require gradients, in the layout's order, each [K, shape…].
  static std::vector<at::Tensor> InitialParameters(const ModelLayout& layout, at::ScalarType type,
                                                   const std::vector<ReplicaSettings>& replicas) {
    std::vector<at::Tensor> slabs;
    for (const ReplicaSettings& replica : replicas) {
      slabs.push_back(at::tensor(InitialSlab(layout, replica.seed, replica.init_scale), at::kDouble));
    }
    const at::Tensor stacked = at::stack(slabs);
    std::vector<at::Tensor> parameters;
    for (const TensorLayout& tensor : layout.tensors) {
      std::vector<int64_t> shape = tensor.shape;
      shape.insert(shape.begin(), static_cast<int64_t>(replicas.size()));
      parameters.push_back(
          stacked.narrow(1, tensor.offset, tensor.size).to(type, false, true).reshape(shape).contiguous());
      parameters.back().requires_grad_(true);
    }
    return parameters;
  }

  // Replica k alone, [1, shape…] each; gradients flow to the whole.
  std::vector<at::Tensor> Slice(int k) const {
    if (replicas_ == 1) return parameters_;
    std::vector<at::Tensor> slices;
    for (const at::Tensor& parameter : parameters_) slices.push_back(parameter.narrow(0, k, 1));
    return slices;
  }

  at::Tensor ModelLogits(const std::vector<at::Tensor>& parameters, const at::Tensor& a, const at::Tensor& b) const {
    const ProductPrecisionScope scope(matmul_precision_);
    return model_->Logits(parameters, a, b);
  }

  // `losses`: the mean loss of each replica, with its graph.
  std::vector<TrainMeasure> ForwardOver(const std::vector<at::Tensor>& parameters, const ExampleTensors& examples,
                                        at::Tensor* losses) const {
    const at::Tensor logits = ModelLogits(parameters, examples.a, examples.b);
    *losses = Losses(loss_, logits, examples.label).mean(-1);
    const at::Tensor correct = IsCorrect(logits.detach(), examples.label).sum(-1);
    std::vector<TrainMeasure> measures(static_cast<size_t>(logits.size(0)));
    for (int64_t k = 0; k < logits.size(0); ++k) {
      measures[k] = {(*losses)[k].item<double>(), correct[k].item<int64_t>(), examples.label.size(0)};
    }
    return measures;
  }

  // Losses (in double) and correctness [K, end − begin] of some examples after others.
  template <typename F>
  void ForEachPart(const ExampleTensors& examples, F visit) const {
    const c10::NoGradGuard no_grad;
    const int64_t n = examples.label.size(0);
    for (int64_t begin = 0; begin < n; begin += kEvaluationRows) {
      const int64_t end = std::min(n, begin + kEvaluationRows);
      const auto rows = [&](const at::Tensor& t) { return t.slice(0, begin, end); };
      const at::Tensor logits = ModelLogits(parameters_, rows(examples.a), rows(examples.b));
      visit(Losses(loss_, logits, rows(examples.label)).to(at::kDouble), IsCorrect(logits, rows(examples.label)), begin,
            end);
    }
  }

  static void Add(const at::Tensor& losses, const at::Tensor& correct, const at::Tensor& mask, TestPart* part) {
    part->loss_sum += losses.masked_select(mask).sum().item<double>();
    part->correct += correct.logical_and(mask).sum().item<int64_t>();
    part->examples += mask.sum().item<int64_t>();
  }

  // Euclidean norms over all tensors, by replica, accumulated in double.
  std::vector<double> Norms(const std::vector<at::Tensor>& tensors) const {
    const c10::NoGradGuard no_grad;
    at::Tensor squares = at::zeros({replicas_}, at::kDouble);
    for (const at::Tensor& tensor : tensors)
      squares += tensor.to(at::kDouble).reshape({replicas_, -1}).square().sum(-1);
    std::vector<double> norms;
    for (int k = 0; k < replicas_; ++k) norms.push_back(std::sqrt(squares[k].item<double>()));
    return norms;
  }

  std::vector<double> Slab(const std::vector<at::Tensor>& tensors, int replica) const {
    const c10::NoGradGuard no_grad;
    std::vector<double> slab(static_cast<size_t>(layout_.slab_size), 0.0);
    for (size_t i = 0; i < tensors.size(); ++i) {
      const at::Tensor flat = tensors[i][replica].to(at::kDouble).contiguous();
      std::copy_n(flat.data_ptr<double>(), layout_.tensors[i].size, slab.begin() + layout_.tensors[i].offset);
    }
    return slab;
  }

  void SetSlab(const std::vector<double>& slab, int replica, const std::vector<at::Tensor>& tensors) const {
    const c10::NoGradGuard no_grad;
    for (size_t i = 0; i < tensors.size(); ++i) {
      const TensorLayout& place = layout_.tensors[i];
      const auto begin = slab.begin() + place.offset;
      const at::Tensor values = at::tensor(std::vector<double>(begin, begin + place.size), at::kDouble);
      tensors[i][replica].copy_(values.view(place.shape));
    }
  }

  std::unique_ptr<StackedModel> model_;
  ModelLayout layout_;
  int replicas_;
  OptimizerParameters settings_;  // of the first replica; `kind` is that of all
  ExampleTensors train_;
  ExampleTensors test_;
  at::Tensor is_mirrored_;
  std::vector<at::Tensor> parameters_;
  StackedOptimizer optimizer_;
  const Loss loss_;
  const MatmulPrecision matmul_precision_;
  std::vector<MinibatchOrder> orders_;  // by replica; none in full-batch training
  std::vector<at::Tensor> gradients_;
  at::Tensor losses_;  // [K], with the graph of the last forward pass
};

}  // namespace

std::unique_ptr<Learner> MakeReferenceLearner(const Task& task, const ModelParameters& model, Precision precision,
                                              const std::vector<ReplicaSettings>& replicas,
                                              const TrainingOptions& training) {
  return std::make_unique<ReferenceLearner>(task, model, precision, replicas, training);
}

}  // namespace seedbed::engine
