#pragma once

#include <cstdint>
#include <vector>

namespace seedbed::engine {

// Which training examples each update is made from. An epoch is a Fisher-Yates shuffle of all examples by Philox, cut
// into batches of `batch_size`; the last one has what remains, as PyTorch's DataLoader has it by default. Each example
// is seen once an epoch. A pure function of (seed, number of examples, batch_size, updates): nothing to be kept in a
// checkpoint. Not thread-safe.
class MinibatchOrder {
 public:
  // 0 < batch_size, 0 < examples.
  MinibatchOrder(uint64_t seed, int64_t examples, int64_t batch_size);

  int64_t batches_per_epoch() const { return batches_per_epoch_; }
  // Indices of the examples that the update after `updates` others is made from.
  std::vector<int64_t> Batch(int64_t updates);

 private:
  const uint64_t seed_;
  const int64_t batch_size_;
  const int64_t batches_per_epoch_;
  int64_t epoch_ = -1;          // the one that order_ belongs to
  std::vector<int64_t> order_;  // of all examples
};

}  // namespace seedbed::engine
