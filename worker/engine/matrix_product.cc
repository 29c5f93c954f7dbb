#include "worker/engine/matrix_product.h"

#include "ATen/ATen.h"
#include "c10/core/GradMode.h"

namespace seedbed::engine {
namespace {

template <typename T>
at::Tensor TensorOn(const MatrixView<T>& view) {
  const at::Tensor tensor =
      at::from_blob(view.data, {view.rows, view.columns}, {view.stride == 0 ? view.columns : view.stride, 1},
                    at::TensorOptions().dtype(c10::CppTypeToScalarType<T>::value));
  return view.transposed ? tensor.t() : tensor;
}

}  // namespace

template <typename T>
struct MatrixProduct<T>::Tensors {
  at::Tensor out, left, right;
  Mode mode;
  double factor;
};

template <typename T>
MatrixProduct<T>::MatrixProduct(MatrixView<T> out, MatrixView<T> left, MatrixView<T> right, Mode mode, double factor)
    : tensors_(new Tensors{TensorOn(out), TensorOn(left), TensorOn(right), mode, factor}) {}

template <typename T>
MatrixProduct<T>::~MatrixProduct() = default;
template <typename T>
MatrixProduct<T>::MatrixProduct(MatrixProduct&&) noexcept = default;
template <typename T>
MatrixProduct<T>& MatrixProduct<T>::operator=(MatrixProduct&&) noexcept = default;

template <typename T>
void MatrixProduct<T>::Run() {
  const c10::NoGradGuard no_grad;
  Tensors& t = *tensors_;
  if (t.mode == Mode::kSet && t.factor == 1) {
    at::mm_out(t.out, t.left, t.right);
    return;
  }
  at::addmm_out(t.out, t.out, t.left, t.right, t.mode == Mode::kAdd ? 1 : 0, t.factor);
}

template class MatrixProduct<float>;
template class MatrixProduct<double>;

}  // namespace seedbed::engine
