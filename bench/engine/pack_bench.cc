#include "bench/engine/pack_bench.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <vector>

#include "ATen/ATen.h"
#include "ATen/Context.h"
#include "bench/engine/model_operations.h"
#include "worker/engine/gpu.h"
#include "worker/engine/model_layout.h"
#include "worker/engine/stacked_learner.h"

namespace seedbed::engine {
namespace {

constexpr double kUpdatesOfARun = 10000;
constexpr int kCallsAtOnce = 4;  // between two looks at the clock: a device works behind the caller's back

// The least wall seconds of a call. `wait` returns when the device has done what it was given.
double Best(double seconds, const std::function<void()>& call, const std::function<void()>& wait) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  for (int i = 0; i < 6; ++i) call();  // libraries are loaded, graphs recorded
  wait();
  double best = 1e300;
  const Clock::time_point start = Clock::now();
  for (int rounds = 0; rounds < 3 || since(start) < seconds; ++rounds) {
    const Clock::time_point begin = Clock::now();
    for (int i = 0; i < kCallsAtOnce; ++i) call();
    wait();
    best = std::min(best, since(begin) / kCallsAtOnce);
  }
  return best;
}

struct Rates {
  double operations_per_second = 0;
  double bytes_per_second = 0;
};

Rates MeasureRates(const std::string& device, double seconds) {
  const bool on_gpu = GpuIndex(device) >= 0;
  const int64_t extent = on_gpu ? 8192 : 1024;
  const int64_t elements = on_gpu ? int64_t{1} << 28 : int64_t{1} << 24;
  const at::TensorOptions options = at::TensorOptions(at::Device(device)).dtype(at::kFloat);
  const at::Tensor left = at::ones({extent, extent}, options), right = at::ones({extent, extent}, options);
  at::Tensor product = at::empty({extent, extent}, options);
  const at::Tensor source = at::ones({elements}, options);
  at::Tensor copy = at::empty({elements}, options);
  const auto wait_for = [](const at::Tensor& result) { return [&result] { result.flatten()[0].item<float>(); }; };
  Rates rates;
  const auto side = static_cast<double>(extent);
  rates.operations_per_second = 2 * side * side * side /
                                Best(
                                    seconds, [&] { at::mm_out(product, left, right); }, wait_for(product));
  rates.bytes_per_second = 2 * 4 * static_cast<double>(elements) /
                           Best(
                               seconds, [&] { copy.copy_(source); }, wait_for(copy));
  return rates;
}

// That a step of one replica must move: each activation written and read on the way forwards and again on the way back,
// parameters read, and read and written with gradient and momentum by the optimiser.
double StepBytes(const RunParameters& run, int64_t symbols, int64_t examples) {
  const auto parameters = static_cast<double>(LayoutOf(run.model, symbols, symbols).parameter_count);
  return 4 * (4 * static_cast<double>(examples) * ValuesPerExample(run.model, symbols, symbols) + 7 * parameters);
}

}  // namespace

Json ReportPacks(const std::string& device, int most, double seconds) {
  if (GpuIndex(device) >= 0) UseGpuFromThisThread(GpuIndex(device));
  Json figures = Json::array();
  for (const char* precision : {"full", "tf32"}) {
    const RunParameters run = ReadRunParameters({{"matmul_precision", precision}}).value();
    const Task task = BuildTask(run.task).value();
    const double operations =
        OperationsOf(run.model, task.symbols, task.classes).Step(static_cast<double>(task.train.size()));
    const double bytes = StepBytes(run, task.symbols, static_cast<int64_t>(task.train.size()));
    Rates rates;
    for (const int replicas : {1, 8, 64, 256}) {
      if (replicas > most) continue;
      try {
        const auto count = static_cast<size_t>(replicas);
        const auto learner = MakeStackedLearner(run, std::vector<ReplicaSettings>(count), device).value();
        // Only now: the learner has set the precision of the device's products.
        if (rates.operations_per_second == 0) rates = MeasureRates(device, seconds);
        const std::vector<bool> all(count, true);
        const double step = Best(
            seconds,
            [&] {
              learner->Forward();  // waits for its measures
              learner->Backward();
              learner->UpdateSome(all);
            },
            [&] { learner->ParameterRms(); });
        const double roofline =
            replicas * std::max(operations / rates.operations_per_second, bytes / rates.bytes_per_second);
        const double runs = replicas * 3600 / (step * kUpdatesOfARun);
        std::printf("  %s, products %s, K = %3d: step %9.3f ms, %8.1f runs of %.0f updates an hour, roofline %8.3f ms",
                    device.c_str(), precision, replicas, step * 1e3, runs, kUpdatesOfARun, roofline * 1e3);
        std::printf(" (%.1f TFLOP/s, %.2f TB/s): %.0f %% of it\n", rates.operations_per_second * 1e-12,
                    rates.bytes_per_second * 1e-12, 100 * roofline / step);
        std::fflush(stdout);
        figures.push_back({{"name", "pack of mlp d2 w256"},
                           {"implementation", "stacked"},
                           {"device", device},
                           {"matmul_precision", precision},
                           {"replicas", replicas},
                           {"step_seconds", step},
                           {"roofline_seconds", roofline},
                           {"runs_per_hour", runs}});
      } catch (const std::exception& error) {
        std::printf("  %s, products %s, K = %3d: not measured: %s\n", device.c_str(), precision, replicas,
                    error.what());
      }
    }
  }
  return figures;
}

}  // namespace seedbed::engine
