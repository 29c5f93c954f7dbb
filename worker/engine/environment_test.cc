#include "worker/engine/environment.h"

#include "gtest/gtest.h"

namespace seedbed::engine {
namespace {

TEST(BlasKernelTest, IsSetOnlyWhereTheLibraryMissesAvx512) {
  struct {
    const char* chosen;
    bool has_avx512;
    const char* expected;
  } const cases[] = {
      {"Haswell", true, "SkylakeX"},  {"Zen", true, "SkylakeX"}, {"Sandybridge", true, "SkylakeX"},
      {"Prescott", true, "SkylakeX"}, {"SkylakeX", true, ""},    {"Cooperlake", true, ""},
      {"SapphireRapids", true, ""},   {"unknown", true, ""},  // no OpenBLAS
      {"Haswell", false, ""},         {"Zen", false, ""},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(BlasKernelToSet({nullptr, nullptr, each.chosen, each.has_avx512}), each.expected)
        << each.chosen << (each.has_avx512 ? " with" : " without") << " AVX-512";
  }
}

TEST(BlasKernelTest, IsLeftAloneWhereSomebodySaidWhich) {
  EXPECT_EQ(BlasKernelToSet({nullptr, "auto", "Haswell", true}), "SkylakeX");
  EXPECT_EQ(BlasKernelToSet({"Haswell", nullptr, "Haswell", true}), "");
  EXPECT_EQ(BlasKernelToSet({"Haswell", "auto", "Haswell", true}), "");
  EXPECT_EQ(BlasKernelToSet({nullptr, "none", "Haswell", true}), "");
}

}  // namespace
}  // namespace seedbed::engine
