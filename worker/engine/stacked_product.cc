#include "worker/engine/stacked_product.h"

#include "c10/core/GradMode.h"

namespace seedbed::engine {
namespace {

thread_local MatmulPrecision current_precision = MatmulPrecision::kFull;

// float32 […]: the 13 last of 23 bits of fraction rounded away.
at::Tensor RoundedToTf32(const at::Tensor& values) {
  constexpr int64_t kDropped = 13;
  const at::Tensor bits = values.contiguous().view(at::kInt);
  const at::Tensor is_odd = at::bitwise_and(at::bitwise_right_shift(bits, kDropped), 1);
  const at::Tensor carried = bits + is_odd + ((1 << (kDropped - 1)) - 1);
  return at::bitwise_and(carried, ~((1 << kDropped) - 1)).view(at::kFloat);
}

// The rounded values, through which gradients pass as if they were not rounded. The difference is a multiple of the
// last bit of the value and shorter than it, so that it and the sum are exact.
at::Tensor RoundedFactor(const at::Tensor& values, MatmulPrecision precision) {
  const at::Tensor constant = values.detach();
  return values + (Rounded(constant, precision) - constant);
}

}  // namespace

at::Tensor Rounded(const at::Tensor& values, MatmulPrecision precision) {
  const c10::NoGradGuard no_grad;
  const at::Tensor constant = values.detach();
  switch (precision) {
    case MatmulPrecision::kFull:
      break;
    case MatmulPrecision::kTf32:
      return RoundedToTf32(constant.to(at::kFloat)).to(values.scalar_type());
    case MatmulPrecision::kBf16:
      return constant.to(at::kBFloat16).to(values.scalar_type());
  }
  return constant;
}

ProductPrecisionScope::ProductPrecisionScope(MatmulPrecision precision) : outer_(current_precision) {
  current_precision = precision;
}

ProductPrecisionScope::~ProductPrecisionScope() {
  current_precision = outer_;
}

at::Tensor Product(const at::Tensor& left, const at::Tensor& right) {
  const MatmulPrecision precision = current_precision;
  if (precision == MatmulPrecision::kFull) return at::matmul(left, right);
  const at::Tensor product = at::matmul(RoundedFactor(left, precision), RoundedFactor(right, precision));
  if (product.requires_grad()) {
    product.register_hook([precision](const at::Tensor& gradient) { return Rounded(gradient, precision); });
  }
  return product;
}

at::Tensor AddProduct(const at::Tensor& sum, const at::Tensor& left, const at::Tensor& right) {
  return current_precision == MatmulPrecision::kFull ? at::baddbmm(sum, left, right) : sum + Product(left, right);
}

}  // namespace seedbed::engine
