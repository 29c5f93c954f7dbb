#pragma once

#include <cstdint>
#include <vector>

#include "ATen/ATen.h"
#include "worker/engine/run_parameters.h"
#include "worker/engine/task.h"

// Private to the engine: examples as tensors, and what is measured of stacked logits. Nothing here, forwards or
// backwards, adds to one element from two places, so that a device needs no atomics and has one order of summation.
namespace seedbed::engine {

// Examples as int64 tensors [n].
struct ExampleTensors {
  at::Tensor a, b, label;

  int64_t size() const { return label.size(0); }
  ExampleTensors Slice(int64_t begin, int64_t end) const;
  ExampleTensors Select(const at::Tensor& index) const;
};

ExampleTensors ToTensors(const std::vector<Example>& examples, const at::Device& device);

// Whether the label's logit is the largest, the first among equals: bool [K, n] for logits [K, n, classes]. False where
// it is not a number.
at::Tensor IsCorrect(const at::Tensor& logits, const at::Tensor& label);

// The loss of each example, [K, n], in the logits' precision.
at::Tensor Losses(Loss loss, const at::Tensor& logits, const at::Tensor& label);

// Sums over the last dimension, accumulated in `type`. The order of summation is the same for all that is summed: rows
// are filled up with zeros to a multiple of 16 elements, as a device sums those that begin at an odd address in another
// order.
at::Tensor SumLast(const at::Tensor& values, at::ScalarType type);

// Sums over all but the replicas, [K], likewise.
at::Tensor SumByReplica(const at::Tensor& stacked, at::ScalarType type);

}  // namespace seedbed::engine
