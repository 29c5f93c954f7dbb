#include "worker/engine/engine_settings.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace seedbed::engine {
namespace {

constexpr int kLargestCapacity = 4096;
constexpr int kLargestMeasuredCapacity = 256;

absl::StatusOr<std::string> DeviceFrom(const std::string& text, int gpus) {
  if (text == "auto" || text == "cpu") return std::string("cpu");
  int index = 0;
  const bool is_cuda = text == "cuda" || (text.rfind("cuda:", 0) == 0 && absl::SimpleAtoi(text.substr(5), &index));
  if (!is_cuda || index < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("SEEDBED_ENGINE_DEVICE is '", text, "': expected auto, cpu, cuda or cuda:N"));
  }
  if (index < gpus) return absl::StrCat("cuda:", index);
  return absl::FailedPreconditionError(absl::StrCat(
      "SEEDBED_ENGINE_DEVICE is '", text, "', and this engine can use ", gpus, gpus == 1 ? " GPU" : " GPUs",
      ": use auto or cpu, or build it with a LibTorch that has CUDA on a machine with a GPU"));
}

}  // namespace

absl::StatusOr<EngineSettings> ReadEngineSettings(const char* device, const char* capacity, const char* pack,
                                                  int gpus) {
  EngineSettings settings;
  if (capacity != nullptr && (!absl::SimpleAtoi(capacity, &settings.capacity) || settings.capacity < 1 ||
                              settings.capacity > kLargestCapacity)) {
    return absl::InvalidArgumentError(
        absl::StrCat("SEEDBED_ENGINE_CAPACITY is '", capacity, "': expected an integer from 1 to ", kLargestCapacity));
  }
  SEEDBED_ASSIGN_OR_RETURN(settings.device, DeviceFrom(device == nullptr ? "auto" : device, gpus));
  const bool on_gpu = settings.device != "cpu";
  const std::string way = pack != nullptr ? pack : on_gpu ? "stacked" : "turns";
  if (way != "stacked" && (way != "turns" || on_gpu)) {
    return absl::InvalidArgumentError(absl::StrCat("SEEDBED_ENGINE_PACK is '", way, "': expected stacked",
                                                   on_gpu ? ", the only way on a GPU" : " or turns"));
  }
  settings.is_stacked = way == "stacked";
  if (on_gpu && capacity == nullptr) {
    settings.measures_capacity = true;
    settings.capacity = kLargestMeasuredCapacity;
  }
  return settings;
}

}  // namespace seedbed::engine
