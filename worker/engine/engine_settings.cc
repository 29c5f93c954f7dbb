#include "worker/engine/engine_settings.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace seedbed::engine {
namespace {

constexpr int kLargestCapacity = 4096;

absl::StatusOr<std::string> DeviceFrom(const std::string& text) {
  if (text == "auto" || text == "cpu") return std::string("cpu");
  int index = 0;
  const bool is_cuda = text == "cuda" || (text.rfind("cuda:", 0) == 0 && absl::SimpleAtoi(text.substr(5), &index));
  if (!is_cuda || index < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("SEEDBED_ENGINE_DEVICE is '", text, "': expected auto, cpu, cuda or cuda:N"));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("SEEDBED_ENGINE_DEVICE is '", text, "', and this engine trains on the CPU only: use auto or cpu"));
}

}  // namespace

absl::StatusOr<EngineSettings> ReadEngineSettings(const char* device, const char* capacity) {
  EngineSettings settings;
  if (capacity != nullptr && (!absl::SimpleAtoi(capacity, &settings.capacity) || settings.capacity < 1 ||
                              settings.capacity > kLargestCapacity)) {
    return absl::InvalidArgumentError(
        absl::StrCat("SEEDBED_ENGINE_CAPACITY is '", capacity, "': expected an integer from 1 to ", kLargestCapacity));
  }
  const absl::StatusOr<std::string> name = DeviceFrom(device == nullptr ? "auto" : device);
  if (!name.ok()) return name.status();
  settings.device = *name;
  return settings;
}

}  // namespace seedbed::engine
