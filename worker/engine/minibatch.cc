#include "worker/engine/minibatch.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "common/base/philox.h"
#include "worker/engine/random_streams.h"

namespace seedbed::engine {

MinibatchOrder::MinibatchOrder(uint64_t seed, int64_t examples, int64_t batch_size)
    : seed_(seed),
      batch_size_(batch_size),
      batches_per_epoch_((examples + batch_size - 1) / batch_size),
      order_(static_cast<size_t>(examples)) {}

std::vector<int64_t> MinibatchOrder::Batch(int64_t updates) {
  const int64_t epoch = updates / batches_per_epoch_;
  if (epoch != epoch_) {
    std::iota(order_.begin(), order_.end(), 0);
    PhiloxStream random(seed_, kBatchOrderStream + static_cast<uint64_t>(epoch));
    for (size_t i = 0; i + 1 < order_.size(); ++i)
      std::swap(order_[i], order_[i + random.NextBelow(order_.size() - i)]);
    epoch_ = epoch;
  }
  const int64_t begin = updates % batches_per_epoch_ * batch_size_;
  const int64_t end = std::min(begin + batch_size_, static_cast<int64_t>(order_.size()));
  return {order_.begin() + begin, order_.begin() + end};
}

}  // namespace seedbed::engine
