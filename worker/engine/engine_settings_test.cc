#include "worker/engine/engine_settings.h"

#include <string>

#include "gtest/gtest.h"

namespace seedbed::engine {
namespace {

TEST(EngineSettingsTest, HaveDefaults) {
  const absl::StatusOr<EngineSettings> settings = ReadEngineSettings(nullptr, nullptr);
  ASSERT_TRUE(settings.ok());
  EXPECT_EQ(settings->capacity, 1);
  EXPECT_EQ(ReadEngineSettings("auto", "5")->capacity, 5);
  EXPECT_EQ(ReadEngineSettings("cpu", "1")->device, "cpu");
}

TEST(EngineSettingsTest, MistakesNameTheirVariable) {
  for (const char* capacity : {"0", "-1", "five", "", "1.5", "1000000", "99999999999999999999"}) {
    const absl::Status status = ReadEngineSettings(nullptr, capacity).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << capacity;
    EXPECT_NE(status.message().find("SEEDBED_ENGINE_CAPACITY"), absl::string_view::npos);
  }
  for (const char* device : {"", "gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0"}) {
    const absl::Status status = ReadEngineSettings(device, nullptr).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << device;
    EXPECT_NE(status.message().find("SEEDBED_ENGINE_DEVICE"), absl::string_view::npos);
  }
}

}  // namespace
}  // namespace seedbed::engine
