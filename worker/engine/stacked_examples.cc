#include "worker/engine/stacked_examples.h"

#include <cstddef>

namespace seedbed::engine {
namespace {

constexpr int64_t kRowAlignment = 16;  // elements

// bool [n, classes]
at::Tensor IsLabel(const at::Tensor& logits, const at::Tensor& label) {
  return label.unsqueeze(-1).eq(at::arange(logits.size(-1), label.options()));
}

}  // namespace

ExampleTensors ExampleTensors::Slice(int64_t begin, int64_t end) const {
  return {a.slice(0, begin, end), b.slice(0, begin, end), label.slice(0, begin, end)};
}

ExampleTensors ExampleTensors::Select(const at::Tensor& index) const {
  return {a.index_select(0, index), b.index_select(0, index), label.index_select(0, index)};
}

ExampleTensors ToTensors(const std::vector<Example>& examples, const at::Device& device) {
  const auto n = static_cast<int64_t>(examples.size());
  ExampleTensors tensors{at::empty({n}, at::kLong), at::empty({n}, at::kLong), at::empty({n}, at::kLong)};
  for (int64_t i = 0; i < n; ++i) {
    const Example& example = examples[static_cast<size_t>(i)];
    tensors.a.data_ptr<int64_t>()[i] = example.a;
    tensors.b.data_ptr<int64_t>()[i] = example.b;
    tensors.label.data_ptr<int64_t>()[i] = example.label;
  }
  return {tensors.a.to(device), tensors.b.to(device), tensors.label.to(device)};
}

at::Tensor IsCorrect(const at::Tensor& logits, const at::Tensor& label) {
  const at::Tensor is_largest = logits.eq(logits.amax({-1}, true));
  const at::Tensor is_earlier = at::arange(logits.size(-1), label.options()).lt(label.unsqueeze(-1));  // [n, classes]
  const at::Tensor is_beaten = is_largest.logical_and(is_earlier).any(-1);
  return is_largest.logical_and(IsLabel(logits, label)).any(-1).logical_and(is_beaten.logical_not());
}

at::Tensor Losses(Loss loss, const at::Tensor& logits, const at::Tensor& label) {
  const at::Tensor is_label = IsLabel(logits, label);
  if (loss == Loss::kMse) {
    const at::Tensor squares = (logits - is_label.to(logits.scalar_type())).square();
    return SumLast(squares, logits.scalar_type()) / static_cast<double>(logits.size(-1));
  }
  // Chosen by `where`: the others may be infinite.
  const at::Tensor none = at::zeros({}, logits.options());
  return at::where(is_label, at::log_softmax(logits, -1), none).sum(-1).neg();
}

at::Tensor SumLast(const at::Tensor& values, at::ScalarType type) {
  const int64_t gap = (kRowAlignment - values.size(-1) % kRowAlignment) % kRowAlignment;
  return (gap == 0 ? values : at::constant_pad_nd(values, {0, gap}, 0)).sum({-1}, false, type);
}

at::Tensor SumByReplica(const at::Tensor& stacked, at::ScalarType type) {
  return SumLast(stacked.reshape({stacked.size(0), -1}), type);
}

}  // namespace seedbed::engine
