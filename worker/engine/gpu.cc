#include "worker/engine/gpu.h"

#include <cstdlib>
#include <exception>
#include <iostream>
#include <optional>

#include "absl/strings/numbers.h"

#ifdef SEEDBED_CUDA
#include <cuda_runtime_api.h>

#include "ATen/cuda/CUDAGraph.h"
#include "c10/cuda/CUDACachingAllocator.h"
#include "c10/cuda/CUDAException.h"
#include "c10/cuda/CUDAFunctions.h"
#include "c10/cuda/CUDAStream.h"
#endif

namespace seedbed::engine {

int GpuIndex(const std::string& device) {
  constexpr const char* kPrefix = "cuda:";
  int index = -1;
  if (device.rfind(kPrefix, 0) != 0 || !absl::SimpleAtoi(device.substr(5), &index)) return -1;
  return index;
}

#ifdef SEEDBED_CUDA

namespace {

constexpr size_t kAll = 0;  // of the allocator's statistics: small and large blocks together
constexpr int kWarmUps = 3;

c10::DeviceIndex DeviceIndexOf(int index) {
  return static_cast<c10::DeviceIndex>(index);
}

}  // namespace

int GpuCount() {
  return static_cast<int>(c10::cuda::device_count());
}

GpuDescription DescribeGpu(int index) {
  cudaDeviceProp properties{};
  C10_CUDA_CHECK(cudaGetDeviceProperties(&properties, index));
  GpuDescription description;
  description.name = properties.name;
  description.runtime_version = std::to_string(CUDART_VERSION);
  description.total_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  return description;
}

void UseGpuFromThisThread(int index) {
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);  // as NVIDIA asks for where results are to repeat
  c10::cuda::set_device(DeviceIndexOf(index));
  c10::cuda::setCurrentCUDAStream(c10::cuda::getStreamFromPool(false, DeviceIndexOf(index)));
}

int64_t FreeGpuBytes(int index) {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  C10_CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
  const auto statistics = c10::cuda::CUDACachingAllocator::getDeviceStats(DeviceIndexOf(index));
  const int64_t kept = statistics.reserved_bytes[kAll].current - statistics.allocated_bytes[kAll].current;
  return static_cast<int64_t>(free_bytes) + kept;
}

int64_t PeakGpuBytes(int index) {
  return c10::cuda::CUDACachingAllocator::getDeviceStats(DeviceIndexOf(index)).allocated_bytes[kAll].peak;
}

void ResetPeakGpuBytes(int index) {
  c10::cuda::CUDACachingAllocator::resetPeakStats(DeviceIndexOf(index));
}

struct RepeatedWork::Recording {
  int calls = 0;
  bool is_off = false;
  std::optional<at::cuda::CUDAGraph> graph;
};

RepeatedWork::RepeatedWork(const std::string& device) {
  const char* const wish = std::getenv("SEEDBED_ENGINE_CUDA_GRAPHS");
  const bool is_off = wish != nullptr && std::string(wish) == "off";
  if (GpuIndex(device) >= 0 && !is_off) recording_ = std::make_unique<Recording>();
}

void RepeatedWork::Run(const std::function<void()>& work) {
  if (recording_ == nullptr || recording_->is_off || recording_->calls++ < kWarmUps) {
    work();
    return;
  }
  if (!recording_->graph) {
    // What the recording allocates stays with it, so that its results lie in the same place each time.
    recording_->graph.emplace();
    c10::cuda::CUDACachingAllocator::emptyCache();  // what the first calls took would be missing now
    try {
      recording_->graph->capture_begin();
      work();
      recording_->graph->capture_end();
    } catch (const std::exception& error) {
      std::cerr << "seedbed-engine: steps are not recorded as a CUDA graph: " << error.what() << std::endl;
      try {
        recording_->graph->capture_end();
      } catch (const std::exception&) {  // it never began, or the error ended it
      }
      recording_->graph.reset();
      recording_->is_off = true;
      work();
      return;
    }
  }
  recording_->graph->replay();  // recording alone computes nothing
}

bool RepeatedWork::is_recorded() const {
  return recording_ != nullptr && recording_->graph.has_value();
}

#else

namespace {

[[noreturn]] void RefuseGpu() {
  std::cerr << "seedbed-engine: built with a LibTorch without CUDA, it cannot use a GPU" << std::endl;
  std::abort();
}

}  // namespace

int GpuCount() {
  return 0;
}

GpuDescription DescribeGpu(int) {
  RefuseGpu();
}

void UseGpuFromThisThread(int) {
  RefuseGpu();
}

int64_t FreeGpuBytes(int) {
  RefuseGpu();
}

int64_t PeakGpuBytes(int) {
  RefuseGpu();
}

void ResetPeakGpuBytes(int) {
  RefuseGpu();
}

struct RepeatedWork::Recording {};

RepeatedWork::RepeatedWork(const std::string&) {}

void RepeatedWork::Run(const std::function<void()>& work) {
  work();
}

bool RepeatedWork::is_recorded() const {
  return false;
}

#endif

RepeatedWork::~RepeatedWork() = default;
RepeatedWork::RepeatedWork(RepeatedWork&&) noexcept = default;

void RepeatedWork::Forget() {
  if (recording_ != nullptr) recording_ = std::make_unique<Recording>();
}

}  // namespace seedbed::engine
