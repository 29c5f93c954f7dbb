// The parts of the reference that have meanings of their own: Newton and Schulz's iteration, products of rounded
// factors.
#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "worker/engine/numerics.h"
#include "worker/engine/optimizer_by_hand.h"
#include "worker/engine/stacked_optimizer.h"
#include "worker/engine/stacked_product.h"

namespace seedbed::engine {
namespace {

double Largest(const at::Tensor& values) {
  return values.abs().max().item<double>();
}

at::Tensor Random(std::vector<int64_t> shape, int seed) {
  at::Tensor values = at::empty(shape, at::kDouble);
  for (int64_t i = 0; i < values.numel(); ++i) {
    values.data_ptr<double>()[i] = std::sin(12.9898 * static_cast<double>(i + 1) + seed) * std::cos(0.7 * i * i + seed);
  }
  return values;
}

// Five times the polynomial that is applied to each singular value.
double Iterated(double s) {
  for (int step = 0; step < 5; ++step) s = 3.4445 * s - 4.7750 * s * s * s + 2.0315 * s * s * s * s * s;
  return s;
}

// U·S·Vᵀ becomes U·p(S/‖S‖)·Vᵀ, and that is about the orthogonal factor U·Vᵀ.
TEST(NewtonSchulzTest, OrthogonalisesAsTheSingularValueDecompositionDoes) {
  SetUpTrainingThread();
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{2, 6, 6}, std::vector<int64_t>{3, 4, 9}, std::vector<int64_t>{2, 3, 8, 5}}) {
    const at::Tensor matrices = Random(shape, 3);
    const auto [u, s, v] = at::linalg_svd(matrices, false);
    const at::Tensor norm = matrices.square().sum({-2, -1}, true).sqrt() + 1e-7;
    at::Tensor values = (s / norm.squeeze(-1)).clone();
    double least = 1;
    for (int64_t i = 0; i < values.numel(); ++i) {
      double& value = values.data_ptr<double>()[i];
      if (value > 0.003) {
        least = std::min(least, Iterated(value));
        EXPECT_LT(Iterated(value), 1.2);
      }
      value = Iterated(value);
    }
    EXPECT_GT(least, 0.6);
    const at::Tensor result = NewtonSchulz(matrices);
    EXPECT_LT(Largest(result - at::matmul(u * values.unsqueeze(-2), v)), 1e-10);
    EXPECT_LT(Largest(result - at::matmul(u, v)), 0.45);
  }
}

TEST(NewtonSchulzTest, FollowsTheFormulaInPlainLoops) {
  const std::vector<std::pair<int64_t, int64_t>> shapes = {{5, 5}, {3, 7}, {7, 3}};
  for (const auto& [rows, columns] : shapes) {
    const at::Tensor matrix = Random({rows, columns}, 9);
    const std::vector<double> values(matrix.data_ptr<double>(), matrix.data_ptr<double>() + rows * columns);
    const at::Tensor expected =
        at::tensor(NewtonSchulzByHand(values, rows, columns), at::kDouble).view({rows, columns});
    EXPECT_LT(Largest(NewtonSchulz(matrix) - expected), 1e-11);
  }
  EXPECT_EQ(Largest(NewtonSchulz(at::zeros({4, 4}, at::kDouble))), 0);
}

TEST(IsHiddenMatrixTest, ByNameAndShape) {
  const auto is_hidden = [](const char* name, std::vector<int64_t> shape) {
    TensorLayout tensor;
    tensor.name = name;
    tensor.shape = std::move(shape);
    return IsHiddenMatrix(tensor);
  };
  EXPECT_TRUE(is_hidden("layers.0.weight", {8, 8}));
  EXPECT_TRUE(is_hidden("layers.0.self_attn.in_proj_weight", {24, 8}));
  EXPECT_FALSE(is_hidden("layers.0.bias", {8}));
  EXPECT_FALSE(is_hidden("embedding.weight", {97, 8}));
  EXPECT_FALSE(is_hidden("positions", {2, 8}));
  EXPECT_FALSE(is_hidden("output.weight", {97, 8}));
}

TEST(RoundedTest, KeepsTheNearestOfFewerBits) {
  struct Case {
    double value, tf32, bf16;
  };
  const auto power = [](int exponent) { return std::ldexp(1.0, exponent); };
  for (const Case& c :
       {Case{1, 1, 1}, Case{-1 - power(-10), -1 - power(-10), -1}, Case{1 + power(-11), 1, 1},  // a tie, to even
        Case{1 + power(-10) + power(-11), 1 + power(-9), 1},                                    // a tie, to even
        Case{1 + power(-11) + power(-20), 1 + power(-10), 1},                                   // above the tie
        Case{2 - power(-20), 2, 2},  // carries into the exponent
        Case{1 + power(-7) + power(-8), 1 + power(-7) + power(-8), 1 + power(-6)}, Case{0, 0, 0},
        Case{INFINITY, INFINITY, INFINITY}}) {
    for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
      const at::Tensor value = at::full({1}, c.value, type);
      EXPECT_EQ(Rounded(value, MatmulPrecision::kTf32).item<double>(), c.tf32) << c.value;
      EXPECT_EQ(Rounded(value, MatmulPrecision::kBf16).item<double>(), c.bf16) << c.value;
      EXPECT_EQ(Rounded(value, MatmulPrecision::kFull).item<double>(), c.value);
    }
  }
  EXPECT_TRUE(std::isnan(Rounded(at::full({1}, NAN, at::kFloat), MatmulPrecision::kTf32).item<double>()));
}

TEST(ProductTest, RoundsTheFactorsOfAllThreeProducts) {
  for (const MatmulPrecision precision : {MatmulPrecision::kFull, MatmulPrecision::kTf32, MatmulPrecision::kBf16}) {
    at::Tensor left = Random({2, 3, 4}, 1).to(at::kFloat).requires_grad_(true);
    at::Tensor right = Random({2, 4, 5}, 2).to(at::kFloat).requires_grad_(true);
    const at::Tensor weight = Random({2, 3, 5}, 4).to(at::kFloat);
    const ProductPrecisionScope scope(precision);
    const at::Tensor product = Product(left, right);
    (product * weight).sum().backward();
    const at::Tensor bias = Random({2, 1, 5}, 6).to(at::kFloat);
    EXPECT_LT(Largest((AddProduct(bias, left, right) - product - bias).detach()), 1e-6);
    const at::Tensor l = Rounded(left, precision), r = Rounded(right, precision), g = Rounded(weight, precision);
    EXPECT_TRUE(at::equal(product.detach(), at::matmul(l, r)));
    EXPECT_LT(Largest(left.grad() - at::matmul(g, r.transpose(1, 2))), 1e-6);
    EXPECT_LT(Largest(right.grad() - at::matmul(l.transpose(1, 2), g)), 1e-6);
    const double error = Largest(at::matmul(left.detach(), right.detach()) - product.detach());
    if (precision == MatmulPrecision::kFull) {
      EXPECT_EQ(error, 0);
    } else {
      EXPECT_GT(error, 1e-5);
    }
  }
}

}  // namespace
}  // namespace seedbed::engine
