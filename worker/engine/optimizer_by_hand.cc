#include "worker/engine/optimizer_by_hand.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace seedbed::engine {
namespace {

using Matrix = std::vector<std::vector<double>>;

Matrix Times(const Matrix& left, const Matrix& right) {
  Matrix product(left.size(), std::vector<double>(right[0].size(), 0.0));
  for (size_t i = 0; i < left.size(); ++i) {
    for (size_t k = 0; k < right.size(); ++k) {
      for (size_t j = 0; j < right[0].size(); ++j) product[i][j] += left[i][k] * right[k][j];
    }
  }
  return product;
}

Matrix Transposed(const Matrix& matrix) {
  Matrix transposed(matrix[0].size(), std::vector<double>(matrix.size()));
  for (size_t i = 0; i < matrix.size(); ++i) {
    for (size_t j = 0; j < matrix[0].size(); ++j) transposed[j][i] = matrix[i][j];
  }
  return transposed;
}

bool IsMatrixOfMuon(const TensorLayout& tensor) {
  const std::string& name = tensor.name;
  const auto begins = [&](const std::string& start) { return name.substr(0, start.size()) == start; };
  return tensor.shape.size() == 2 && !begins("embedding") && !begins("position") && !begins("output");
}

}  // namespace

std::vector<double> NewtonSchulzByHand(const std::vector<double>& matrix, int64_t rows, int64_t columns) {
  Matrix x(static_cast<size_t>(rows), std::vector<double>(static_cast<size_t>(columns)));
  double squares = 0;
  for (const double value : matrix) squares += value * value;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) x[i][j] = matrix[i * columns + j] / (std::sqrt(squares) + 1e-7);
  }
  for (int step = 0; step < 5; ++step) {
    const Matrix gram = Times(Transposed(x), x);  // the formula from the right gives the same
    const Matrix first = Times(x, gram);
    const Matrix second = Times(first, gram);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) x[i][j] = 3.4445 * x[i][j] - 4.7750 * first[i][j] + 2.0315 * second[i][j];
    }
  }
  std::vector<double> out;
  for (const std::vector<double>& row : x) out.insert(out.end(), row.begin(), row.end());
  return out;
}

OptimizerByHand::OptimizerByHand(const OptimizerParameters& optimizer, ModelLayout layout)
    : optimizer_(optimizer),
      layout_(std::move(layout)),
      momentum_(static_cast<size_t>(layout_.slab_size), 0.0),
      mean_(momentum_),
      mean_square_(momentum_),
      slow_(momentum_) {}

double OptimizerByHand::LearningRate() const {
  const OptimizerParameters& o = optimizer_;
  if (o.schedule == Schedule::kConstant) return o.learning_rate;
  if (updates_ <= o.warmup_steps) {
    return o.learning_rate * static_cast<double>(updates_) / static_cast<double>(o.warmup_steps);
  }
  if (o.schedule == Schedule::kWarmup) return o.learning_rate;
  const auto done = static_cast<double>(updates_ - 1 - o.warmup_steps);
  const double share = std::min(1.0, done / static_cast<double>(o.schedule_steps));
  const double half = share * std::acos(-1.0) / 2;  // (1 + cos 2x) / 2 = cos² x
  return o.learning_rate * (o.final_factor + (1 - o.final_factor) * std::cos(half) * std::cos(half));
}

void OptimizerByHand::Update(std::vector<double> g, std::vector<double>* parameters) {
  ++updates_;
  const OptimizerParameters& o = optimizer_;
  if (o.grokfast_lambda > 0) {
    for (size_t i = 0; i < g.size(); ++i) {
      slow_[i] = updates_ == 1 ? g[i] : o.grokfast_alpha * slow_[i] + (1 - o.grokfast_alpha) * g[i];
      g[i] += o.grokfast_lambda * slow_[i];
    }
  }
  for (const TensorLayout& tensor : layout_.tensors) {
    if (!o.perpendicular_gradient) break;
    double along = 0;
    double squares = 0;
    for (int64_t i = tensor.offset; i < tensor.offset + tensor.size; ++i) {
      along += g[i] * (*parameters)[i];
      squares += (*parameters)[i] * (*parameters)[i];
    }
    for (int64_t i = tensor.offset; i < tensor.offset + tensor.size && squares > 0; ++i) {
      g[i] -= along / squares * (*parameters)[i];
    }
  }
  if (o.clip_norm > 0) {
    double squares = 0;
    for (const double value : g) squares += value * value;
    for (double& value : g) value *= std::min(1.0, o.clip_norm / (std::sqrt(squares) + 1e-6));
  }
  for (const TensorLayout& tensor : layout_.tensors) {
    if (o.kind == OptimizerKind::kMuon && IsMatrixOfMuon(tensor)) {
      UpdateMatrix(tensor, g, parameters);
    } else {
      UpdateTensor(tensor, g, parameters);
    }
  }
}

void OptimizerByHand::UpdateTensor(const TensorLayout& tensor, const std::vector<double>& gradient,
                                   std::vector<double>* parameters) {
  const OptimizerParameters& o = optimizer_;
  const auto t = static_cast<double>(updates_);
  for (int64_t i = tensor.offset; i < tensor.offset + tensor.size; ++i) {
    double& parameter = (*parameters)[i];
    double g = gradient[i];
    if (o.kind == OptimizerKind::kSgd || o.kind == OptimizerKind::kAdam) g += o.weight_decay * parameter;
    if (o.kind == OptimizerKind::kSgd) {
      momentum_[i] = updates_ == 1 ? g : o.momentum * momentum_[i] + g;
      parameter -= LearningRate() * (o.nesterov ? g + o.momentum * momentum_[i] : momentum_[i]);
      continue;
    }
    if (o.kind != OptimizerKind::kAdam) parameter -= LearningRate() * o.weight_decay * parameter;
    mean_[i] = o.beta1 * mean_[i] + (1 - o.beta1) * g;
    mean_square_[i] = o.beta2 * mean_square_[i] + (1 - o.beta2) * g * g;
    const double mean = mean_[i] / (1 - std::pow(o.beta1, t));
    const double mean_square = mean_square_[i] / (1 - std::pow(o.beta2, t));
    parameter -= LearningRate() * mean / (std::sqrt(mean_square) + o.epsilon);
  }
}

void OptimizerByHand::UpdateMatrix(const TensorLayout& tensor, const std::vector<double>& gradient,
                                   std::vector<double>* parameters) {
  const OptimizerParameters& o = optimizer_;
  const bool is_three = tensor.name.find("in_proj_weight") != std::string::npos;  // of queries, keys and values
  const int64_t rows = tensor.shape[0] / (is_three ? 3 : 1);
  const int64_t columns = tensor.shape[1];
  for (int64_t begin = tensor.offset; begin < tensor.offset + tensor.size; begin += rows * columns) {
    std::vector<double> direction;
    for (int64_t i = begin; i < begin + rows * columns; ++i) {
      momentum_[i] = o.momentum * momentum_[i] + (1 - o.momentum) * gradient[i];
      direction.push_back(o.nesterov ? o.momentum * momentum_[i] + (1 - o.momentum) * gradient[i] : momentum_[i]);
    }
    direction = NewtonSchulzByHand(direction, rows, columns);
    const double scale = 0.2 * std::sqrt(static_cast<double>(std::max(rows, columns)));
    for (int64_t i = 0; i < rows * columns; ++i) {
      double& parameter = (*parameters)[begin + i];
      parameter = parameter * (1 - LearningRate() * o.weight_decay) - LearningRate() * scale * direction[i];
    }
  }
}

}  // namespace seedbed::engine
