#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

// Private to the engine: all that it says to CUDA itself. Built against a LibTorch without CUDA there is no GPU, and
// every function says so. What stands behind the other branch has been compiled and never run: no machine of ours has a
// GPU.
namespace seedbed::engine {

// How many GPUs LibTorch can use.
int GpuCount();

// "cuda:N" for the device that a learner is to live on; -1 for any other.
int GpuIndex(const std::string& device);

struct GpuDescription {
  std::string name;             // e.g. "NVIDIA H100 80GB HBM3"
  std::string runtime_version;  // of CUDA, as LibTorch was built with it
  int64_t total_bytes = 0;
};
GpuDescription DescribeGpu(int index);

// To be called on the thread that trains: its work goes to a stream of its own, without which nothing can be recorded.
void UseGpuFromThisThread(int index);

// Free for tensors, what LibTorch keeps for later ones counted in.
int64_t FreeGpuBytes(int index);
// The most that tensors held at once since the last ResetPeakGpuBytes.
int64_t PeakGpuBytes(int index);
void ResetPeakGpuBytes(int index);

// Work that is done again and again with the same tensors. On a GPU the first calls of Run do it, which warms libraries
// up, the next records it as a CUDA graph, and from then on Run only launches that; what `work` does beside work for
// the device is then not done again. If recording fails, or SEEDBED_ENGINE_CUDA_GRAPHS is `off`, each Run does the
// work. On a CPU Run always does the work.
class RepeatedWork {
 public:
  explicit RepeatedWork(const std::string& device);
  ~RepeatedWork();
  RepeatedWork(RepeatedWork&&) noexcept;

  void Run(const std::function<void()>& work);
  // Whether tensors that the work makes now lie in the same place after each Run.
  bool is_recorded() const;
  // The next Run begins anew: the work has changed.
  void Forget();

 private:
  struct Recording;
  std::unique_ptr<Recording> recording_;  // none on a CPU
};

}  // namespace seedbed::engine
