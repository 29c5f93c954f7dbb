#include "bench/engine/model_operations.h"

namespace seedbed::engine {

ModelOperations OperationsOf(const ModelParameters& model, int64_t symbol_count, int64_t class_count) {
  const auto symbols = static_cast<double>(symbol_count);
  const auto classes = static_cast<double>(class_count);
  const auto width = static_cast<double>(model.width);
  const auto depth = static_cast<double>(model.depth);
  ModelOperations operations;
  operations.per_pair = 2 * width * classes;
  if (model.kind == "residual_mlp") {
    operations.per_pair += depth * 2 * 2 * width * static_cast<double>(model.inner_width);
  } else if (model.kind == "transformer") {
    const auto hidden = static_cast<double>(model.feed_forward);
    constexpr double kTokens = 2;
    operations.per_symbols = kTokens * symbols * 2 * width * 3 * width;
    operations.per_pair += kTokens * (2 * width * width + 2 * width * hidden) + 2 * hidden * width;
  } else {
    operations.per_symbols = symbols * 2 * width * width;
    operations.per_pair += (depth - 1) * 2 * width * width;
  }
  return operations;
}

}  // namespace seedbed::engine
