#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "worker/engine/elementwise.h"
#include "worker/engine/example_rows.h"

// Private to the fast implementation: memory and row lists as the kernels take them.
namespace seedbed::engine {

// Zeroed memory on a cache line of its own; a large one on huge pages where the kernel gives them: matrices that are
// walked row by row and column by column miss the TLB on small ones, above all in a virtual machine.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t size) : data_(Allocate(static_cast<size_t>(size) * sizeof(T)), Free{AlignmentOf(size)}) {
    std::fill_n(data_.get(), size, T(0));
  }
  T* get() const { return data_.get(); }

 private:
  static constexpr size_t kHugePage = size_t{2} << 20;
  static constexpr size_t kCacheLine = 64;

  static size_t AlignmentOf(int64_t size) {
    // Below, more would be wasted than gained.
    return static_cast<size_t>(size) * sizeof(T) >= kHugePage / 4 ? kHugePage : kCacheLine;
  }
  static T* Allocate(size_t bytes) {
    const size_t alignment = AlignmentOf(static_cast<int64_t>(bytes / sizeof(T)));
    const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void* const memory = ::operator new (rounded, std::align_val_t{alignment});
    if (alignment == kHugePage) ::madvise(memory, rounded, MADV_HUGEPAGE);  // a wish: without, it is only slower
    return static_cast<T*>(memory);
  }
  struct Free {
    size_t alignment = kCacheLine;
    void operator()(T* data) const { ::operator delete (data, std::align_val_t{alignment}); }
  };
  std::unique_ptr<T, Free> data_;
};

// Pairs and labels of rows as the kernels take them.
struct RowArrays {
  std::vector<int32_t> a, b, label;
  std::vector<ExampleRows::Row> rows;

  explicit RowArrays(std::vector<ExampleRows::Row> from) : rows(std::move(from)) {
    for (const ExampleRows::Row& row : rows) {
      a.push_back(row.a);
      b.push_back(row.b);
      label.push_back(row.label);
    }
  }
  int64_t size() const { return static_cast<int64_t>(rows.size()); }
  PairRows Pairs(int64_t begin, int64_t count) const { return {a.data() + begin, b.data() + begin, count}; }
  PairRows AllPairs() const { return Pairs(0, size()); }
};

// For each symbol the rows that it stands in, in rising order.
class SymbolIndex {
 public:
  // Twice where a = b.
  static SymbolIndex OfPairs(const RowArrays& pairs, int64_t symbols) { return {pairs, symbols, 0}; }
  // Symbols count apart by the position that they stand at: s as a is s, as b `symbols` + s.
  static SymbolIndex OfTokens(const RowArrays& pairs, int64_t symbols) { return {pairs, 2 * symbols, symbols}; }

  SymbolRows View() const { return {offsets_.data(), rows_.data(), static_cast<int64_t>(offsets_.size()) - 1}; }

 private:
  SymbolIndex(const RowArrays& pairs, int64_t size, int64_t second) : offsets_(static_cast<size_t>(size) + 1, 0) {
    for (const int32_t symbol : pairs.a) ++offsets_[symbol + 1];
    for (const int32_t symbol : pairs.b) ++offsets_[second + symbol + 1];
    for (size_t s = 1; s < offsets_.size(); ++s) offsets_[s] += offsets_[s - 1];
    std::vector<int64_t> next(offsets_.begin(), offsets_.end() - 1);
    rows_.resize(static_cast<size_t>(offsets_.back()));
    for (int64_t r = 0; r < pairs.size(); ++r) {
      rows_[next[pairs.a[r]]++] = static_cast<int32_t>(r);
      rows_[next[second + pairs.b[r]]++] = static_cast<int32_t>(r);
    }
  }

  std::vector<int64_t> offsets_;
  std::vector<int32_t> rows_;
};

}  // namespace seedbed::engine
