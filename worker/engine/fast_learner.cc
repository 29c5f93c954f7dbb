#include "worker/engine/fast_learner.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/base/status_macros.h"

namespace seedbed::engine {
namespace {

template <typename T>
void Add(const ExampleRows::Row& row, T loss, uint8_t correct, TestMeasure* measure) {
  const auto add = [&](int32_t weight, TestPart* part) {
    if (weight == 0) return;  // 0 · infinity is not a number
    part->loss_sum += weight * static_cast<double>(loss);
    part->correct += weight * correct;
    part->examples += weight;
  };
  add(row.mirrored_weight, &measure->mirrored);
  add(row.unseen_weight, &measure->unseen);
}

}  // namespace

template <typename T>
FastLearner<T>::FastLearner(ModelLayout layout, const Task& task, ExampleRows rows, const ReplicaSettings& replica)
    : kernels_(BestElementwiseKernels<T>()),
      layout_(std::move(layout)),
      symbols_(task.symbols),
      classes_(task.classes),
      train_(std::move(rows.trained)),
      tested_(std::move(rows.tested_only)),
      rows_(train_.size()),
      tested_rows_(std::min(kEvaluationRows, std::max(rows_, tested_.size()))),
      parameters_(layout_.slab_size),
      gradient_(layout_.slab_size),
      logits_(rows_ * classes_),
      tested_logits_(tested_rows_ * classes_),
      settings_(replica.optimizer),
      optimizer_(settings_, layout_),
      output_bias_(ParameterAt("output.bias")),
      output_bias_gradient_(GradientAt("output.bias")),
      row_scale_(rows_),
      loss_(rows_),
      scratch_(classes_),
      correct_(rows_),
      tested_loss_(tested_rows_),
      tested_correct_(tested_rows_) {
  SetSlab(InitialSlab(layout_, replica.seed, replica.init_scale), parameters_.get());
  for (int64_t r = 0; r < rows_; ++r) {
    row_scale_.get()[r] = static_cast<T>(static_cast<double>(train_.rows[r].train_weight) / rows.train_examples);
  }
}

template <typename T>
std::vector<TrainMeasure> FastLearner<T>::Forward() {
  ForwardSymbols();
  ForwardTraining();
  kernels_.softmax_loss_gradient(rows_, classes_, logits_.get(), output_bias_, train_.label.data(), row_scale_.get(),
                                 loss_.get(), correct_.get(), output_bias_gradient_, scratch_.get());
  TrainMeasure measure;
  double loss_sum = 0;
  for (int64_t r = 0; r < rows_; ++r) {
    const int32_t weight = train_.rows[r].train_weight;
    loss_sum += weight * static_cast<double>(loss_.get()[r]);
    measure.correct += weight * correct_.get()[r];
    measure.examples += weight;
  }
  measure.loss = loss_sum / static_cast<double>(measure.examples);
  return {measure};
}

template <typename T>
void FastLearner<T>::ForwardBlock(PairRows pairs) {
  auto products = tested_products_.find(pairs.rows);
  if (products == tested_products_.end()) {
    products = tested_products_.emplace(pairs.rows, TestedProducts(pairs.rows)).first;
  }
  ForwardTested(pairs, &products->second);
}

template <typename T>
std::vector<TestMeasure> FastLearner<T>::Evaluate() {
  TestMeasure measure;
  for (int64_t r = 0; r < rows_; ++r) Add(train_.rows[r], loss_.get()[r], correct_.get()[r], &measure);
  for (int64_t begin = 0; begin < tested_.size(); begin += tested_rows_) {
    const int64_t count = std::min(tested_rows_, tested_.size() - begin);
    ForwardBlock(tested_.Pairs(begin, count));
    kernels_.softmax_loss(count, classes_, tested_logits_.get(), output_bias_, tested_.label.data() + begin,
                          tested_loss_.get(), tested_correct_.get());
    for (int64_t r = 0; r < count; ++r) {
      Add(tested_.rows[begin + r], tested_loss_.get()[r], tested_correct_.get()[r], &measure);
    }
  }
  return {measure};
}

template <typename T>
std::vector<double> FastLearner<T>::GradientNorms() {
  return {std::sqrt(kernels_.dot(layout_.slab_size, gradient_.get(), gradient_.get()))};
}

template <typename T>
std::vector<double> FastLearner<T>::ParameterRms() {
  const double squares = kernels_.dot(layout_.slab_size, parameters_.get(), parameters_.get());
  return {std::sqrt(squares / static_cast<double>(layout_.parameter_count))};
}

template <typename T>
std::vector<double> FastLearner<T>::Logits(int, const std::vector<Example>& examples) {
  std::vector<int32_t> a, b;
  for (const Example& example : examples) {
    a.push_back(example.a);
    b.push_back(example.b);
  }
  ForwardSymbols();  // with the values that Forward left, if it was called
  const auto size = static_cast<int64_t>(examples.size());
  std::vector<double> all;
  all.reserve(static_cast<size_t>(size * classes_));
  for (int64_t begin = 0; begin < size; begin += tested_rows_) {
    const int64_t count = std::min(tested_rows_, size - begin);
    ForwardBlock({a.data() + begin, b.data() + begin, count});
    for (int64_t i = 0; i < count * classes_; ++i) {
      all.push_back(static_cast<double>(tested_logits_.get()[i] + output_bias_[i % classes_]));
    }
  }
  return all;
}

template <typename T>
std::vector<double> FastLearner<T>::Parameters(int) const {
  return Slab(parameters_.get());
}

template <typename T>
std::vector<double> FastLearner<T>::Gradient(int) const {
  return Slab(gradient_.get());
}

template <typename T>
LearnerState FastLearner<T>::State(int) const {
  LearnerState state;
  state.updates = optimizer_.updates();
  state.slabs["parameters"] = Slab(parameters_.get());
  for (const auto& [name, slab] : optimizer_.Slabs()) state.slabs[name] = Slab(slab);
  return state;
}

template <typename T>
absl::Status FastLearner<T>::Restore(int, const LearnerState& state) {
  SEEDBED_RETURN_IF_ERROR(CheckState(state, layout_, settings_));
  optimizer_.set_updates(state.updates);
  SetSlab(state.slabs.at("parameters"), parameters_.get());
  for (const auto& [name, slab] : optimizer_.Slabs()) SetSlab(state.slabs.at(name), slab);
  return absl::OkStatus();
}

template <typename T>
std::vector<double> FastLearner<T>::Slab(const T* slab) const {
  return {slab, slab + layout_.slab_size};
}

template <typename T>
void FastLearner<T>::SetSlab(const std::vector<double>& values, T* slab) const {
  for (size_t i = 0; i < values.size(); ++i) slab[i] = static_cast<T>(values[i]);
}

template <typename T>
const TensorLayout& FastLearner<T>::Tensor(const std::string& name) const {
  return *std::find_if(layout_.tensors.begin(), layout_.tensors.end(),
                       [&](const TensorLayout& tensor) { return tensor.name == name; });
}

template <typename T>
MatrixView<T> FastLearner<T>::Matrix(const Buffer<T>& slab, const std::string& name) const {
  const TensorLayout& tensor = Tensor(name);
  return {slab.get() + tensor.offset, tensor.shape[0], tensor.shape[1]};
}

template class FastLearner<float>;
template class FastLearner<double>;

}  // namespace seedbed::engine
