#pragma once

#include "ATen/ATen.h"
#include "worker/engine/run_parameters.h"

namespace seedbed::engine {

// Private to the engine: the matrix products of the reference's models, differentiable. Under a scope of kTf32 or kBf16
// both factors, and those of the two products of its backward pass, are rounded to 10 or 7 bits of fraction, to
// nearest, ties to even, and the products are summed in the tensors' own precision, as matrix units do; here by
// rounding before an ordinary product, which is slower than kFull.

// As at::matmul.
at::Tensor Product(const at::Tensor& left, const at::Tensor& right);
// sum [K, 1, c] + left [K, n, m] · right [K, m, c].
at::Tensor AddProduct(const at::Tensor& sum, const at::Tensor& left, const at::Tensor& right);

// The precision of the products that this thread begins while the scope lives; kFull without one. Scopes nest.
class ProductPrecisionScope {
 public:
  explicit ProductPrecisionScope(MatmulPrecision precision);
  ~ProductPrecisionScope();
  ProductPrecisionScope(const ProductPrecisionScope&) = delete;
  ProductPrecisionScope& operator=(const ProductPrecisionScope&) = delete;

 private:
  const MatmulPrecision outer_;
};

// Each element rounded as above, without a gradient. Infinities and NaN stay what they are.
at::Tensor Rounded(const at::Tensor& values, MatmulPrecision precision);

}  // namespace seedbed::engine
