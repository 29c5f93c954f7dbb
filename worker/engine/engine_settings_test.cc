#include "worker/engine/engine_settings.h"

#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace seedbed::engine {
namespace {

TEST(EngineSettingsTest, HaveDefaults) {
  const absl::StatusOr<EngineSettings> settings = ReadEngineSettings(nullptr, nullptr, nullptr, 0);
  ASSERT_TRUE(settings.ok());
  EXPECT_EQ(settings->capacity, 1);
  EXPECT_EQ(ReadEngineSettings("auto", "5", nullptr, 0)->capacity, 5);
  EXPECT_EQ(ReadEngineSettings("cpu", "1", nullptr, 0)->device, "cpu");
}

TEST(EngineSettingsTest, MistakesNameTheirVariable) {
  for (const char* capacity : {"0", "-1", "five", "", "1.5", "1000000", "99999999999999999999"}) {
    const absl::Status status = ReadEngineSettings(nullptr, capacity, nullptr, 1).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << capacity;
    EXPECT_NE(status.message().find("SEEDBED_ENGINE_CAPACITY"), absl::string_view::npos);
  }
  for (const char* device : {"", "gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0"}) {
    const absl::Status status = ReadEngineSettings(device, nullptr, nullptr, 1).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << device;
    EXPECT_NE(status.message().find("SEEDBED_ENGINE_DEVICE"), absl::string_view::npos);
  }
}

TEST(EngineSettingsTest, AGpuIsUsedWhereThereIsOne) {
  for (const char* device : {"cuda", "cuda:0", "cuda:1"}) {
    EXPECT_EQ(ReadEngineSettings(device, nullptr, nullptr, 0).status().code(), absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_EQ(ReadEngineSettings("cuda:2", nullptr, nullptr, 2).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReadEngineSettings("cuda", nullptr, nullptr, 2)->device, "cuda:0");
  EXPECT_EQ(ReadEngineSettings("cuda:1", nullptr, nullptr, 2)->device, "cuda:1");
  EXPECT_EQ(ReadEngineSettings("auto", nullptr, nullptr, 2)->device, "cpu");
  EXPECT_TRUE(ReadEngineSettings("cuda", nullptr, nullptr, 1)->measures_capacity);
  EXPECT_EQ(ReadEngineSettings("cuda", nullptr, nullptr, 1)->capacity, 256);
  EXPECT_FALSE(ReadEngineSettings("cuda", "64", nullptr, 1)->measures_capacity);
  EXPECT_EQ(ReadEngineSettings("cuda", "64", nullptr, 1)->capacity, 64);
}

TEST(EngineSettingsTest, PacksAreStackedOnAGpuAndOnRequest) {
  EXPECT_FALSE(ReadEngineSettings("cpu", "5", nullptr, 0)->is_stacked);
  EXPECT_FALSE(ReadEngineSettings("cpu", "5", "turns", 0)->is_stacked);
  EXPECT_TRUE(ReadEngineSettings("cpu", "5", "stacked", 0)->is_stacked);
  EXPECT_TRUE(ReadEngineSettings("cuda", "5", nullptr, 1)->is_stacked);
  EXPECT_TRUE(ReadEngineSettings("cuda", "5", "stacked", 1)->is_stacked);
  for (const auto& [device, pack] :
       {std::pair<const char*, const char*>{"cpu", "heap"}, {"cpu", ""}, {"cuda", "turns"}}) {
    const absl::Status status = ReadEngineSettings(device, "5", pack, 1).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << device << pack;
    EXPECT_NE(status.message().find("SEEDBED_ENGINE_PACK"), absl::string_view::npos);
  }
}

}  // namespace
}  // namespace seedbed::engine
