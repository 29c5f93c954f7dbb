#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "ATen/ATen.h"
#include "ATen/Context.h"
#include "c10/core/GradMode.h"
#include "common/base/status_macros.h"
#include "worker/engine/gpu.h"
#include "worker/engine/learner.h"
#include "worker/engine/minibatch.h"
#include "worker/engine/stacked_examples.h"
#include "worker/engine/stacked_learner.h"
#include "worker/engine/stacked_model.h"
#include "worker/engine/stacked_optimizer.h"
#include "worker/engine/stacked_product.h"

namespace seedbed::engine {
namespace {

constexpr int64_t kEvaluationRows = 4096;  // at once, so that evaluation needs no more memory than training

at::ScalarType TypeOf(Precision precision) {
  return precision == Precision::kFloat64 ? at::kDouble : at::kFloat;
}

// Forward makes the whole pass, gradient and all: on a GPU both are recorded as one.
class ReferenceLearner final : public StackedLearner {
 public:
  ReferenceLearner(const Task& task, const ModelParameters& model, Precision precision,
                   const std::vector<ReplicaSettings>& replicas, const TrainingOptions& training,
                   const std::string& device)
      : model_(MakeStackedModel(model, task.symbols, task.classes)),
        layout_(model_->Layout()),
        replicas_(static_cast<int>(replicas.size())),
        settings_(replicas[0].optimizer),
        device_(device),
        train_(ToTensors(task.train, device_)),
        test_(ToTensors(task.test, device_)),
        parameters_(InitialParameters(layout_, at::TensorOptions(device_).dtype(TypeOf(precision)), replicas)),
        optimizer_(parameters_, layout_, replicas),
        loss_(training.loss),
        matmul_precision_(training.matmul_precision),
        pass_(device),
        update_(device) {
    if (training.batch_size > 0 && training.batch_size < train_.size()) batch_size_ = training.batch_size;
    orders_.resize(replicas.size());
    for (size_t k = 0; k < replicas.size(); ++k) SetOrder(k, replicas[k].seed);
    const at::Tensor is_mirrored = at::empty({test_.size()}, at::kBool);
    for (size_t i = 0; i < task.test.size(); ++i) is_mirrored.data_ptr<bool>()[i] = task.test_is_mirrored[i];
    mirrored_count_ = is_mirrored.sum().item<int64_t>();
    is_mirrored_ = is_mirrored.to(device_);
    if (device_.is_cuda()) {  // the factors are rounded before, so that these units' own rounding changes nothing
      at::globalContext().setFloat32MatmulPrecision(matmul_precision_ == MatmulPrecision::kFull
                                                        ? at::Float32MatmulPrecision::HIGHEST
                                                        : at::Float32MatmulPrecision::HIGH);
    }
  }

  int replicas() const override { return replicas_; }
  const ModelLayout& layout() const override { return layout_; }

  bool full_batch() const override { return batch_size_ == 0; }

  std::vector<TrainMeasure> Forward() override {
    const c10::AutoGradMode with_gradient(true);
    if (!full_batch()) return ForwardInBatches();
    pass_.Run([&] { gradients_ = Pass(parameters_, train_); });
    return Measures(train_.size());
  }

  void Backward() override {}

  void Update() override { Step(nullptr); }
  void UpdateSome(const std::vector<bool>& which) override { Step(&which); }

  std::vector<TrainMeasure> MeasureTraining() override { return MeasureTrainingOf(parameters_); }
  TrainMeasure MeasureTrainingOne(int replica) override { return MeasureTrainingOf(Alone(replica))[0]; }
  std::vector<TestMeasure> Evaluate() override { return EvaluateOf(parameters_); }
  TestMeasure EvaluateOne(int replica) override { return EvaluateOf(Alone(replica))[0]; }

  std::vector<double> Logits(int replica, const std::vector<Example>& examples) override {
    const c10::NoGradGuard no_grad;
    const ExampleTensors tensors = ToTensors(examples, device_);
    const std::vector<at::Tensor> parameters = Alone(replica);
    std::vector<double> all;
    for (int64_t begin = 0; begin < tensors.size(); begin += kEvaluationRows) {
      const at::Tensor logits =
          ModelLogits(parameters, tensors.Slice(begin, std::min(tensors.size(), begin + kEvaluationRows)))
              .to(at::kCPU, at::kDouble)
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
    SetSlab(layout_, state.slabs.at("parameters"), replica, parameters_);
    for (const auto& [name, tensors] : optimizer_.Memory()) SetSlab(layout_, state.slabs.at(name), replica, tensors);
    return absl::OkStatus();
  }

  void Refill(int replica, const ReplicaSettings& settings) override {
    SetSlab(layout_, InitialSlab(layout_, settings.seed, settings.init_scale), replica, parameters_);
    optimizer_.Refill(replica, settings.optimizer);
    SetOrder(static_cast<size_t>(replica), settings.seed);
  }

  std::vector<const void*> Addresses() const override {
    std::vector<const void*> addresses;
    for (const at::Tensor& parameter : parameters_) addresses.push_back(parameter.data_ptr());
    for (const auto& [name, tensors] : optimizer_.Memory()) {
      for (const at::Tensor& tensor : tensors) addresses.push_back(tensor.data_ptr());
    }
    return addresses;
  }

 private:
  // Leaves that require gradients, in the layout's order, each [K, shape…].
  static std::vector<at::Tensor> InitialParameters(const ModelLayout& layout, const at::TensorOptions& options,
                                                   const std::vector<ReplicaSettings>& replicas) {
    std::vector<at::Tensor> parameters;
    for (const TensorLayout& tensor : layout.tensors) {
      std::vector<int64_t> shape = tensor.shape;
      shape.insert(shape.begin(), static_cast<int64_t>(replicas.size()));
      parameters.push_back(at::empty(shape, options));
    }
    std::vector<double> slab;
    for (size_t k = 0; k < replicas.size(); ++k) {
      const bool is_same =
          k > 0 && replicas[k].seed == replicas[k - 1].seed && replicas[k].init_scale == replicas[k - 1].init_scale;
      if (!is_same) slab = InitialSlab(layout, replicas[k].seed, replicas[k].init_scale);
      SetSlab(layout, slab, static_cast<int>(k), parameters);
    }
    for (at::Tensor& parameter : parameters) parameter.requires_grad_(true);
    return parameters;
  }

  static void SetSlab(const ModelLayout& layout, const std::vector<double>& slab, int replica,
                      const std::vector<at::Tensor>& tensors) {
    const c10::NoGradGuard no_grad;
    for (size_t i = 0; i < tensors.size(); ++i) {
      const TensorLayout& place = layout.tensors[i];
      const auto begin = slab.begin() + place.offset;
      const at::Tensor values = at::tensor(std::vector<double>(begin, begin + place.size), at::kDouble);
      tensors[i][replica].copy_(values.view(place.shape));
    }
  }

  void SetOrder(size_t replica, uint64_t seed) {
    if (!full_batch()) orders_[replica].emplace(seed, train_.size(), batch_size_);
  }

  // A copy of replica k, [1, shape…] each. A copy lies as every other one does, where a slice would begin at an address
  // that depends on k, and with it, on a GPU, the order of sums.
  std::vector<at::Tensor> Alone(int k) const {
    const c10::NoGradGuard no_grad;
    if (replicas_ == 1) return parameters_;
    std::vector<at::Tensor> copies;
    for (const at::Tensor& parameter : parameters_) copies.push_back(parameter.narrow(0, k, 1).clone());
    return copies;
  }

  at::Tensor ModelLogits(const std::vector<at::Tensor>& parameters, const ExampleTensors& examples) const {
    const ProductPrecisionScope scope(matmul_precision_);
    return model_->Logits(parameters, examples.a, examples.b);
  }

  // Forwards and backwards: leaves the measures in report_ and returns the gradients. `parameters` are leaves.
  std::vector<at::Tensor> Pass(std::vector<at::Tensor> parameters, const ExampleTensors& examples) {
    const at::Tensor logits = ModelLogits(parameters, examples);
    const at::Tensor losses = Losses(loss_, logits, examples.label);
    const at::Tensor loss = SumByReplica(losses, losses.scalar_type()) / static_cast<double>(examples.size());
    const at::Tensor correct = IsCorrect(logits.detach(), examples.label).sum(-1);
    report_ = at::stack({loss.detach().to(at::kDouble), correct.to(at::kDouble)});
    loss.sum().backward();
    std::vector<at::Tensor> gradients;
    for (at::Tensor& parameter : parameters) {
      gradients.push_back(parameter.grad());
      parameter.mutable_grad().reset();
    }
    return gradients;
  }

  // Of the replicas that the last Pass was about.
  std::vector<TrainMeasure> Measures(int64_t examples) const {
    const at::Tensor report = report_.cpu();
    const int64_t replicas = report.size(1);
    const double* const values = report.data_ptr<double>();
    std::vector<TrainMeasure> measures;
    for (int64_t k = 0; k < replicas; ++k) {
      measures.push_back({values[k], static_cast<int64_t>(values[replicas + k]), examples});
    }
    return measures;
  }

  // Each replica has batches of its own, so they are passed through one after another.
  std::vector<TrainMeasure> ForwardInBatches() {
    std::vector<TrainMeasure> measures;
    std::vector<std::vector<at::Tensor>> gradients;  // by replica
    for (int k = 0; k < replicas_; ++k) {
      MinibatchOrder& order = *orders_[static_cast<size_t>(k)];
      const at::Tensor batch = at::tensor(order.Batch(optimizer_.updates(k)), at::kLong).to(device_);
      std::vector<at::Tensor> leaves = Alone(k);
      for (at::Tensor& leaf : leaves) leaf.requires_grad_(true);
      gradients.push_back(Pass(leaves, train_.Select(batch)));
      measures.push_back(Measures(batch.size(0))[0]);
    }
    gradients_.clear();
    for (size_t i = 0; i < parameters_.size(); ++i) {
      std::vector<at::Tensor> of_tensor;
      for (const std::vector<at::Tensor>& of_replica : gradients) of_tensor.push_back(of_replica[i]);
      gradients_.push_back(at::cat(of_tensor));
    }
    return measures;
  }

  void Step(const std::vector<bool>* which) {
    if (optimizer_.Prepare(which)) update_.Forget();
    const auto apply = [&] { optimizer_.Apply(gradients_); };
    if (pass_.is_recorded()) {
      update_.Run(apply);
    } else {
      apply();  // the gradients lie elsewhere each time
    }
    optimizer_.Count(which);
  }

  // For each mask, the sum of the losses and the number of right answers where it holds: [2 · masks, K] on the host.
  at::Tensor Totals(const std::vector<at::Tensor>& parameters, const ExampleTensors& examples,
                    const std::vector<at::Tensor>& masks) const {
    const c10::NoGradGuard no_grad;
    at::Tensor totals;
    for (int64_t begin = 0; begin < examples.size(); begin += kEvaluationRows) {
      const int64_t end = std::min(examples.size(), begin + kEvaluationRows);
      const ExampleTensors part = examples.Slice(begin, end);
      const at::Tensor logits = ModelLogits(parameters, part);
      const at::Tensor losses = Losses(loss_, logits, part.label).to(at::kDouble);
      const at::Tensor correct = IsCorrect(logits, part.label);
      std::vector<at::Tensor> sums;
      for (const at::Tensor& mask : masks) {
        const at::Tensor here = mask.slice(0, begin, end);
        sums.push_back(SumByReplica(at::where(here, losses, at::zeros({}, losses.options())), at::kDouble));
        sums.push_back(correct.logical_and(here).sum(-1).to(at::kDouble));
      }
      const at::Tensor of_part = at::stack(sums);
      totals = totals.defined() ? totals + of_part : of_part;
    }
    return totals.cpu();
  }

  std::vector<TrainMeasure> MeasureTrainingOf(const std::vector<at::Tensor>& parameters) const {
    const at::Tensor all = at::ones({train_.size()}, train_.label.options().dtype(at::kBool));
    const at::Tensor totals = Totals(parameters, train_, {all});
    std::vector<TrainMeasure> measures;
    for (int64_t k = 0; k < totals.size(1); ++k) {
      measures.push_back({totals[0][k].item<double>() / static_cast<double>(train_.size()),
                          static_cast<int64_t>(totals[1][k].item<double>()), train_.size()});
    }
    return measures;
  }

  std::vector<TestMeasure> EvaluateOf(const std::vector<at::Tensor>& parameters) const {
    const at::Tensor totals = Totals(parameters, test_, {is_mirrored_, is_mirrored_.logical_not()});
    const auto part = [&](int64_t row, int64_t k, int64_t examples) {
      return TestPart{totals[row][k].item<double>(), static_cast<int64_t>(totals[row + 1][k].item<double>()), examples};
    };
    std::vector<TestMeasure> measures;
    for (int64_t k = 0; k < totals.size(1); ++k) {
      measures.push_back({part(0, k, mirrored_count_), part(2, k, test_.size() - mirrored_count_)});
    }
    return measures;
  }

  // Euclidean norms over all tensors, by replica, accumulated in double.
  std::vector<double> Norms(const std::vector<at::Tensor>& tensors) const {
    const c10::NoGradGuard no_grad;
    at::Tensor squares = at::zeros({replicas_}, at::TensorOptions(device_).dtype(at::kDouble));
    for (const at::Tensor& tensor : tensors) {
      squares += SumByReplica(tensor.to(at::kDouble).square(), at::kDouble);
    }
    const at::Tensor on_host = squares.cpu();
    std::vector<double> norms;
    for (int k = 0; k < replicas_; ++k) norms.push_back(std::sqrt(on_host.data_ptr<double>()[k]));
    return norms;
  }

  std::vector<double> Slab(const std::vector<at::Tensor>& tensors, int replica) const {
    const c10::NoGradGuard no_grad;
    std::vector<double> slab(static_cast<size_t>(layout_.slab_size), 0.0);
    for (size_t i = 0; i < tensors.size(); ++i) {
      const at::Tensor flat = tensors[i][replica].to(at::kCPU, at::kDouble).contiguous();
      std::copy_n(flat.data_ptr<double>(), layout_.tensors[i].size, slab.begin() + layout_.tensors[i].offset);
    }
    return slab;
  }

  std::unique_ptr<StackedModel> model_;
  ModelLayout layout_;
  int replicas_;
  OptimizerParameters settings_;  // of the first replica at first; `kind`, and whether Grokfast is on, are those of all
  const at::Device device_;
  ExampleTensors train_;
  ExampleTensors test_;
  at::Tensor is_mirrored_;
  int64_t mirrored_count_ = 0;
  std::vector<at::Tensor> parameters_;
  StackedOptimizer optimizer_;
  const Loss loss_;
  const MatmulPrecision matmul_precision_;
  RepeatedWork pass_, update_;
  int64_t batch_size_ = 0;                             // 0: full batch
  std::vector<std::optional<MinibatchOrder>> orders_;  // by replica; none in full-batch training
  std::vector<at::Tensor> gradients_;
  at::Tensor report_;  // [2, K]: losses and numbers of right answers of the last pass
};

}  // namespace

std::unique_ptr<Learner> MakeReferenceLearner(const Task& task, const ModelParameters& model, Precision precision,
                                              const std::vector<ReplicaSettings>& replicas,
                                              const TrainingOptions& training) {
  return std::make_unique<ReferenceLearner>(task, model, precision, replicas, training, "cpu");
}

absl::StatusOr<std::unique_ptr<StackedLearner>> MakeStackedLearner(const RunParameters& run,
                                                                   const std::vector<ReplicaSettings>& replicas,
                                                                   const std::string& device) {
  SEEDBED_ASSIGN_OR_RETURN(const Task task, BuildTask(run.task));
  TrainingOptions training;
  training.loss = run.loss;
  training.batch_size = run.batch_size;
  training.matmul_precision = run.matmul_precision;
  return std::unique_ptr<StackedLearner>(
      new ReferenceLearner(task, run.model, run.precision, replicas, training, device));
}

}  // namespace seedbed::engine
