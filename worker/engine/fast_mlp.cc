#include <algorithm>
#include <cmath>
#include <cstddef>
#include <new>
#include <string>
#include <utility>

#include "common/base/status_macros.h"
#include "worker/engine/elementwise.h"
#include "worker/engine/learner.h"
#include "worker/engine/matrix_product.h"
#include "worker/engine/symmetric_rows.h"

namespace seedbed::engine {
namespace {

constexpr int64_t kEvaluationRows = 512;  // at once: what is between two products stays in the second-level cache

// Zeroed memory on a cache line of its own.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t size)
      : data_(static_cast<T*>(::operator new (static_cast<size_t>(size) * sizeof(T), std::align_val_t{64}))) {
    std::fill_n(data_.get(), size, T(0));
  }
  T* get() const { return data_.get(); }

 private:
  struct Free {
    void operator()(T* data) const { ::operator delete (data, std::align_val_t{64}); }
  };
  std::unique_ptr<T, Free> data_;
};

// Pairs and labels of rows as the kernels take them.
struct RowArrays {
  std::vector<int32_t> a, b, label;
  std::vector<SymmetricRows::Row> rows;

  explicit RowArrays(std::vector<SymmetricRows::Row> from) : rows(std::move(from)) {
    for (const SymmetricRows::Row& row : rows) {
      a.push_back(row.a);
      b.push_back(row.b);
      label.push_back(row.label);
    }
  }
  int64_t size() const { return static_cast<int64_t>(rows.size()); }
  PairRows Pairs(int64_t begin, int64_t count) const { return {a.data() + begin, b.data() + begin, count}; }
};

// For each symbol the rows that it stands in, in rising order, twice where a = b.
struct SymbolIndex {
  std::vector<int64_t> offsets;
  std::vector<int32_t> rows;

  SymbolIndex(const RowArrays& pairs, int32_t symbols) : offsets(static_cast<size_t>(symbols) + 1, 0) {
    for (const int32_t symbol : pairs.a) ++offsets[symbol + 1];
    for (const int32_t symbol : pairs.b) ++offsets[symbol + 1];
    for (size_t s = 1; s < offsets.size(); ++s) offsets[s] += offsets[s - 1];
    std::vector<int64_t> next(offsets.begin(), offsets.end() - 1);
    rows.resize(static_cast<size_t>(offsets.back()));
    for (int64_t r = 0; r < pairs.size(); ++r) {
      rows[next[pairs.a[r]]++] = static_cast<int32_t>(r);
      rows[next[pairs.b[r]]++] = static_cast<int32_t>(r);
    }
  }
  SymbolRows View() const { return {offsets.data(), rows.data(), static_cast<int64_t>(offsets.size()) - 1}; }
};

// The mlp with what can be saved on it: the first layer's product is taken once per symbol, mirrored pairs are one row,
// each activation keeps its derivative for the backward pass, and the softmax turns into its gradient in place.
template <typename T>
class FastMlp final : public Learner {
 public:
  FastMlp(const Task& task, const ModelParameters& model, const ReplicaSettings& replica)
      : FastMlp(task, model, replica, MergeMirrored(task)) {}

  int replicas() const override { return 1; }
  const ModelLayout& layout() const override { return layout_; }

  std::vector<TrainMeasure> Forward() override {
    first_product_[0].Run();
    kernels_.gather_activate(activation_, products_.get(), train_.Pairs(0, rows_), Bias(0), width_, value_[0].get(),
                             derivative_[0].get());
    for (int64_t i = 1; i < depth_; ++i) {
      forward_products_[i - 1].Run();
      kernels_.activate(activation_, rows_, width_, Bias(i), value_[i].get(), derivative_[i].get());
    }
    forward_products_[depth_ - 1].Run();
    kernels_.softmax_loss_gradient(rows_, classes_, logits_.get(), Bias(depth_), train_.label.data(), row_scale_.get(),
                                   loss_.get(), correct_.get(), BiasGradient(depth_), scratch_.get());
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

  void Backward() override {
    for (int64_t i = depth_; i >= 1; --i) {
      T* gradient = value_gradient_[i % 2].get();  // of the loss in layer i's output, then in its input
      if (i < depth_) {
        kernels_.multiply_sum(rows_, width_, derivative_[i].get(), gradient, BiasGradient(i), scratch_.get());
      }
      weight_gradient_products_[i - 1].Run();
      backward_products_[i - 1].Run();
    }
    kernels_.scatter(symbol_index_.View(), width_, value_gradient_[0].get(), derivative_[0].get(),
                     product_gradient_.get(), BiasGradient(0));
    first_product_[1].Run();
    first_product_[2].Run();
  }

  void Update() override {
    ++updates_;
    const OptimizerParameters& o = optimizer_;
    if (o.kind == OptimizerKind::kSgd) {
      kernels_.sgd(layout_.slab_size, {T(o.learning_rate), T(o.weight_decay), T(o.momentum)}, gradient_.get(),
                   first_.get(), parameters_.get());
      return;
    }
    const auto t = static_cast<double>(updates_);
    AdamwSettings<T> settings;
    settings.keep = T(1 - o.learning_rate * o.weight_decay);
    settings.learning_rate = T(o.learning_rate / (1 - std::pow(o.beta1, t)));
    settings.beta1 = T(o.beta1);
    settings.one_minus_beta1 = T(1 - o.beta1);
    settings.beta2 = T(o.beta2);
    settings.one_minus_beta2 = T(1 - o.beta2);
    settings.root_scale = T(1 / std::sqrt(1 - std::pow(o.beta2, t)));
    settings.epsilon = T(o.epsilon);
    kernels_.adamw(layout_.slab_size, settings, gradient_.get(), first_.get(), second_.get(), parameters_.get());
  }

  std::vector<TestMeasure> Evaluate() override {
    TestMeasure measure;
    for (int64_t r = 0; r < rows_; ++r) Add(train_.rows[r], loss_.get()[r], correct_.get()[r], &measure);
    for (int64_t begin = 0; begin < tested_.size(); begin += kEvaluationRows) {
      const int64_t count = std::min(kEvaluationRows, tested_.size() - begin);
      EvaluateRows(begin, count);
      for (int64_t r = 0; r < count; ++r) {
        Add(tested_.rows[begin + r], tested_loss_.get()[r], tested_correct_.get()[r], &measure);
      }
    }
    return {measure};
  }

  std::vector<double> GradientNorms() override {
    return {std::sqrt(kernels_.sum_of_squares(layout_.slab_size, gradient_.get()))};
  }
  std::vector<double> ParameterRms() override {
    return {std::sqrt(kernels_.sum_of_squares(layout_.slab_size, parameters_.get()) /
                      static_cast<double>(layout_.parameter_count))};
  }
  std::vector<double> Parameters(int) const override { return Slab(parameters_); }
  std::vector<double> Gradient(int) const override { return Slab(gradient_); }

  LearnerState State(int) const override {
    LearnerState state;
    state.updates = updates_;
    state.slabs["parameters"] = Slab(parameters_);
    const std::vector<std::string> names = OptimizerSlabs(optimizer_);
    state.slabs[names[0]] = Slab(first_);
    if (names.size() > 1) state.slabs[names[1]] = Slab(second_);
    return state;
  }
  absl::Status Restore(int, const LearnerState& state) override {
    SEEDBED_RETURN_IF_ERROR(CheckState(state, layout_, optimizer_));
    updates_ = state.updates;
    SetSlab(state.slabs.at("parameters"), &parameters_);
    const std::vector<std::string> names = OptimizerSlabs(optimizer_);
    SetSlab(state.slabs.at(names[0]), &first_);
    if (names.size() > 1) SetSlab(state.slabs.at(names[1]), &second_);
    return absl::OkStatus();
  }

 private:
  FastMlp(const Task& task, const ModelParameters& model, const ReplicaSettings& replica, SymmetricRows merged)
      : kernels_(BestElementwiseKernels<T>()),
        layout_(MlpLayout(model, task.symbols, task.classes)),
        optimizer_(replica.optimizer),
        activation_(model.activation),
        depth_(model.depth),
        width_(model.width),
        symbols_(task.symbols),
        classes_(task.classes),
        train_(std::move(merged.trained)),
        tested_(std::move(merged.tested_only)),
        rows_(train_.size()),
        symbol_index_(train_, task.symbols) {
    parameters_ = Buffer<T>(layout_.slab_size);
    gradient_ = Buffer<T>(layout_.slab_size);
    first_ = Buffer<T>(layout_.slab_size);
    if (optimizer_.kind == OptimizerKind::kAdamw) second_ = Buffer<T>(layout_.slab_size);
    SetSlab(InitialSlab(layout_, replica.seed, replica.init_scale), &parameters_);

    AllocateActivations();
    for (int64_t r = 0; r < rows_; ++r) {
      row_scale_.get()[r] = static_cast<T>(static_cast<double>(train_.rows[r].train_weight) / merged.train_examples);
    }
    PrepareTrainingProducts();
    PrepareEvaluationProducts();
  }

  void AllocateActivations() {
    for (int64_t i = 0; i < depth_; ++i) {
      value_.emplace_back(rows_ * width_);
      derivative_.emplace_back(rows_ * width_);
    }
    for (Buffer<T>& gradient : value_gradient_) gradient = Buffer<T>(rows_ * width_);
    products_ = Buffer<T>(symbols_ * width_);
    product_gradient_ = Buffer<T>(symbols_ * width_);
    logits_ = Buffer<T>(rows_ * classes_);
    loss_ = Buffer<T>(rows_);
    correct_ = Buffer<uint8_t>(rows_);
    row_scale_ = Buffer<T>(rows_);
    scratch_ = Buffer<T>(std::max(width_, classes_));
    const int64_t tested_rows = std::min(kEvaluationRows, tested_.size());
    for (Buffer<T>& value : tested_value_) value = Buffer<T>(tested_rows * width_);
    tested_logits_ = Buffer<T>(tested_rows * classes_);
    tested_loss_ = Buffer<T>(tested_rows);
    tested_correct_ = Buffer<uint8_t>(tested_rows);
  }

  // Layer 0 is the first hidden one, layer `depth` the output. Value i is layer i's output; its gradient lies in
  // value_gradient_[i % 2], that of the logits in logits_ itself.
  void PrepareTrainingProducts() {
    const MatrixView<T> embedding{parameters_.get(), symbols_, width_};
    const MatrixView<T> embedding_gradient{gradient_.get(), symbols_, width_};
    const MatrixView<T> products{products_.get(), symbols_, width_};
    const MatrixView<T> product_gradient{product_gradient_.get(), symbols_, width_};
    first_product_.emplace_back(products, embedding, Weight(parameters_, 0).Transposed());
    first_product_.emplace_back(Weight(gradient_, 0), product_gradient.Transposed(), embedding);
    first_product_.emplace_back(embedding_gradient, product_gradient, Weight(parameters_, 0));
    for (int64_t i = 1; i <= depth_; ++i) {
      const MatrixView<T> input{value_[i - 1].get(), rows_, width_};
      const MatrixView<T> input_gradient{value_gradient_[(i - 1) % 2].get(), rows_, width_};
      const bool is_last = i == depth_;
      const MatrixView<T> output{is_last ? logits_.get() : value_[i].get(), rows_, is_last ? classes_ : width_};
      const MatrixView<T> output_gradient{is_last ? logits_.get() : value_gradient_[i % 2].get(), rows_,
                                          output.columns};
      forward_products_.emplace_back(output, input, Weight(parameters_, i).Transposed());
      weight_gradient_products_.emplace_back(Weight(gradient_, i), output_gradient.Transposed(), input);
      backward_products_.emplace_back(input_gradient, output_gradient, Weight(parameters_, i));
    }
  }

  void PrepareEvaluationProducts() {
    const int64_t whole = std::min(kEvaluationRows, tested_.size());
    const int64_t last = whole == 0 ? 0 : (tested_.size() - 1) % whole + 1;
    for (const int64_t rows : {whole, last}) {
      std::vector<MatrixProduct<T>> products;
      for (int64_t i = 1; i <= depth_; ++i) {
        const bool is_last = i == depth_;
        const MatrixView<T> output{is_last ? tested_logits_.get() : tested_value_[i % 2].get(), rows,
                                   is_last ? classes_ : width_};
        products.emplace_back(output, MatrixView<T>{tested_value_[(i - 1) % 2].get(), rows, width_},
                              Weight(parameters_, i).Transposed());
      }
      tested_products_.emplace_back(rows, std::move(products));
    }
  }

  // Loss and correctness of tested rows begin … begin + count - 1. Uses products_ as Forward left them.
  void EvaluateRows(int64_t begin, int64_t count) {
    auto& products = tested_products_[count == tested_products_[0].first ? 0 : 1].second;
    kernels_.gather_activate(activation_, products_.get(), tested_.Pairs(begin, count), Bias(0), width_,
                             tested_value_[0].get(), nullptr);
    for (int64_t i = 1; i < depth_; ++i) {
      products[i - 1].Run();
      kernels_.activate(activation_, count, width_, Bias(i), tested_value_[i % 2].get(), nullptr);
    }
    products[depth_ - 1].Run();
    kernels_.softmax_loss(count, classes_, tested_logits_.get(), Bias(depth_), tested_.label.data() + begin,
                          tested_loss_.get(), tested_correct_.get());
  }

  static void Add(const SymmetricRows::Row& row, T loss, uint8_t correct, TestMeasure* measure) {
    const auto add = [&](int32_t weight, TestPart* part) {
      if (weight == 0) return;  // 0 · infinity is not a number
      part->loss_sum += weight * static_cast<double>(loss);
      part->correct += weight * correct;
      part->examples += weight;
    };
    add(row.mirrored_weight, &measure->mirrored);
    add(row.unseen_weight, &measure->unseen);
  }

  // Tensors of layer i in the slab: the embedding is tensor 0, then weight and bias of each layer.
  const TensorLayout& WeightLayout(int64_t i) const { return layout_.tensors[static_cast<size_t>(1 + 2 * i)]; }
  const TensorLayout& BiasLayout(int64_t i) const { return layout_.tensors[static_cast<size_t>(2 + 2 * i)]; }
  MatrixView<T> Weight(const Buffer<T>& slab, int64_t i) const {
    return {slab.get() + WeightLayout(i).offset, WeightLayout(i).shape[0], WeightLayout(i).shape[1]};
  }
  const T* Bias(int64_t i) const { return parameters_.get() + BiasLayout(i).offset; }
  T* BiasGradient(int64_t i) const { return gradient_.get() + BiasLayout(i).offset; }

  std::vector<double> Slab(const Buffer<T>& slab) const { return {slab.get(), slab.get() + layout_.slab_size}; }
  static void SetSlab(const std::vector<double>& values, Buffer<T>* slab) {
    for (size_t i = 0; i < values.size(); ++i) slab->get()[i] = static_cast<T>(values[i]);
  }

  const ElementwiseKernels<T>& kernels_;
  const ModelLayout layout_;
  const OptimizerParameters optimizer_;
  const Activation activation_;
  const int64_t depth_, width_, symbols_, classes_;
  const RowArrays train_;
  const RowArrays tested_;
  const int64_t rows_;  // of train_
  const SymbolIndex symbol_index_;
  int64_t updates_ = 0;

  Buffer<T> parameters_, gradient_;            // slabs, as layout_ has them
  Buffer<T> first_, second_;                   // momentum; or means of gradients and of their squares
  Buffer<T> products_, product_gradient_;      // embedding · first weightᵀ, [symbols, width]
  std::vector<Buffer<T>> value_, derivative_;  // per hidden layer [rows, width]
  Buffer<T> value_gradient_[2];                // [rows, width]
  Buffer<T> logits_;                           // [rows, classes]; their gradient after Forward
  Buffer<T> loss_, row_scale_, scratch_;
  Buffer<uint8_t> correct_;
  Buffer<T> tested_value_[2], tested_logits_, tested_loss_;
  Buffer<uint8_t> tested_correct_;

  std::vector<MatrixProduct<T>> first_product_;  // forward, weight gradient, embedding gradient
  std::vector<MatrixProduct<T>> forward_products_, weight_gradient_products_,
      backward_products_;  // of layers 1 … depth
  // For a whole batch of tested rows and for the last one: its rows, and the products of layers 1 … depth.
  std::vector<std::pair<int64_t, std::vector<MatrixProduct<T>>>> tested_products_;
};

}  // namespace

std::unique_ptr<Learner> MakeFastMlp(const Task& task, const ModelParameters& model, Precision precision,
                                     const ReplicaSettings& replica) {
  if (precision == Precision::kFloat64) return std::make_unique<FastMlp<double>>(task, model, replica);
  return std::make_unique<FastMlp<float>>(task, model, replica);
}

}  // namespace seedbed::engine
