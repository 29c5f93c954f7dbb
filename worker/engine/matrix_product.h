#pragma once

#include <cstdint>
#include <memory>

namespace seedbed::engine {

// A matrix in memory that somebody else owns: rows of `columns` elements, one after another.
template <typename T>
struct MatrixView {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t columns = 0;
  bool transposed = false;  // as an operand: use the transpose

  MatrixView Transposed() const { return {data, rows, columns, !transposed}; }
  MatrixView FirstRows(int64_t count) const { return {data, count, columns, transposed}; }
};

// out = left · right by the library's matrix product, for the same three buffers again and again. The buffers must
// outlive it.
template <typename T>
class MatrixProduct {
 public:
  // `out` is not transposed. Sizes must fit.
  MatrixProduct(MatrixView<T> out, MatrixView<T> left, MatrixView<T> right);
  ~MatrixProduct();
  MatrixProduct(MatrixProduct&&) noexcept;
  MatrixProduct& operator=(MatrixProduct&&) noexcept;

  void Run();

 private:
  struct Tensors;
  std::unique_ptr<Tensors> tensors_;
};

}  // namespace seedbed::engine
