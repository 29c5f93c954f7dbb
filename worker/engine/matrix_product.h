#pragma once

#include <cstdint>
#include <memory>

namespace seedbed::engine {

// A matrix in memory that somebody else owns, row by row.
template <typename T>
struct MatrixView {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t columns = 0;
  bool transposed = false;  // as an operand: use the transpose
  int64_t stride = 0;       // elements from one row to the next; 0: as many as columns

  MatrixView Transposed() const { return {data, rows, columns, !transposed, stride}; }
  // Of the matrix that is not transposed.
  MatrixView Columns(int64_t begin, int64_t count) const {
    return {data + begin, rows, count, transposed, stride == 0 ? columns : stride};
  }
};

// out = factor · left · right, or out += that, by the library's matrix product, for the same three buffers again and
// again. The buffers must outlive it.
template <typename T>
class MatrixProduct {
 public:
  enum class Mode { kSet, kAdd };
  // `out` is not transposed. Sizes must fit.
  MatrixProduct(MatrixView<T> out, MatrixView<T> left, MatrixView<T> right, Mode mode = Mode::kSet, double factor = 1);
  ~MatrixProduct();
  MatrixProduct(MatrixProduct&&) noexcept;
  MatrixProduct& operator=(MatrixProduct&&) noexcept;

  void Run();

 private:
  struct Tensors;
  std::unique_ptr<Tensors> tensors_;
};

}  // namespace seedbed::engine
