#include "worker/engine/model_layout.h"

#include <cmath>

#include "gtest/gtest.h"

namespace seedbed::engine {
namespace {

ModelParameters Mlp(int64_t depth, int64_t width) {
  ModelParameters model;
  model.depth = depth;
  model.width = width;
  return model;
}

double Rms(const ModelLayout& layout, const std::vector<double>& slab) {
  double sum = 0;
  for (const double value : slab) sum += value * value;
  return std::sqrt(sum / static_cast<double>(layout.parameter_count));
}

// Published with the study: parameter counts and the RMS at the start.
TEST(ModelLayoutTest, MatchesTheStudysModels) {
  struct Case {
    int64_t depth, width, parameters;
    double rms;
  };
  for (const Case& c : {Case{2, 256, 181345, 0.372}, Case{4, 512, 1150049, 0.209}}) {
    const ModelLayout layout = MlpLayout(Mlp(c.depth, c.width), 97, 97);
    EXPECT_EQ(layout.parameter_count, c.parameters);
    // One draw's RMS has a standard deviation of 0.0016 and 0.0007: the embedding decides it.
    double mean = 0;
    for (uint64_t seed = 0; seed < 8; ++seed) mean += Rms(layout, InitialSlab(layout, seed, 1)) / 8;
    EXPECT_NEAR(mean, c.rms, 0.001) << c.width;
  }
}

TEST(ModelLayoutTest, TensorsAreAlignedAndDoNotOverlap) {
  const ModelLayout layout = MlpLayout(Mlp(3, 13), 7, 5);
  ASSERT_EQ(layout.tensors.size(), 9u);
  int64_t end = 0;
  for (const TensorLayout& tensor : layout.tensors) {
    EXPECT_EQ(tensor.offset % kSlabAlignment, 0) << tensor.name;
    EXPECT_GE(tensor.offset, end) << tensor.name;
    end = tensor.offset + tensor.size;
  }
  EXPECT_LE(end, layout.slab_size);
  EXPECT_EQ(layout.tensors[0].name, "embedding.weight");
  EXPECT_EQ(layout.tensors[3].name, "layers.1.weight");
  EXPECT_EQ(layout.tensors[8].name, "output.bias");
  EXPECT_EQ(layout.tensors[7].shape, (std::vector<int64_t>{5, 13}));
}

TEST(ModelLayoutTest, DrawsHaveTheirDistributions) {
  const ModelLayout layout = MlpLayout(Mlp(1, 400), 97, 97);
  const std::vector<double> slab = InitialSlab(layout, 3, 1);
  for (const TensorLayout& tensor : layout.tensors) {
    double sum = 0;
    double squares = 0;
    double largest = 0;
    for (int64_t i = 0; i < tensor.size; ++i) {
      const double value = slab[static_cast<size_t>(tensor.offset + i)];
      sum += value;
      squares += value * value;
      largest = std::max(largest, std::abs(value));
    }
    const auto n = static_cast<double>(tensor.size);
    const bool is_normal = tensor.start == TensorLayout::Start::kNormal;
    const double deviation = is_normal ? 1 : 1 / std::sqrt(3.0 * 400);
    EXPECT_NEAR(sum / n, 0, 5 * deviation / std::sqrt(n)) << tensor.name;
    EXPECT_NEAR(std::sqrt(squares / n), deviation, 5 * deviation / std::sqrt(n)) << tensor.name;
    if (!is_normal) {
      EXPECT_LE(largest, 1 / std::sqrt(400.0)) << tensor.name;
    }
  }
}

TEST(ModelLayoutTest, ScaleMultipliesAndSeedsDiffer) {
  const ModelLayout layout = MlpLayout(Mlp(1, 8), 7, 7);
  const std::vector<double> one = InitialSlab(layout, 4, 1);
  const std::vector<double> two = InitialSlab(layout, 4, 2);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_EQ(two[i], 2 * one[i]);
  EXPECT_NE(one, InitialSlab(layout, 5, 1));
}

}  // namespace
}  // namespace seedbed::engine
