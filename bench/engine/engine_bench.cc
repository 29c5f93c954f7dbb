// How long a training step takes, as a ratio to its floor: the floating-point operations of its matrix products over
// the rate of the library's own matrix product, both taken in this run, on one thread, by the thread's CPU time.
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "common/base/json.h"
#include "worker/engine/learner.h"
#include "worker/engine/matrix_product.h"
#include "worker/engine/numerics.h"

namespace seedbed::engine {
namespace {

double CpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

struct Timing {
  double best;
  double median;
};

// Seconds of one call, over calls that fill about `seconds`, after one that does not count.
Timing Time(double seconds, const std::function<void()>& call) {
  call();
  std::vector<double> times;
  const double start = CpuSeconds();
  while (times.size() < 5 || CpuSeconds() - start < seconds) {
    const double before = CpuSeconds();
    call();
    times.push_back(CpuSeconds() - before);
  }
  std::sort(times.begin(), times.end());
  return {times.front(), times[times.size() / 2]};
}

// Operations per second of a float32 product of 1024 by 1024 matrices.
double ProductRate(double seconds) {
  constexpr int64_t kSize = 1024;
  std::vector<float> out(kSize * kSize), left(kSize * kSize, 0.5F), right(kSize * kSize, 0.25F);
  MatrixProduct<float> product({out.data(), kSize, kSize}, {left.data(), kSize, kSize}, {right.data(), kSize, kSize});
  return 2.0 * kSize * kSize * kSize / Time(seconds, [&] { product.Run(); }).best;
}

// Of the mlp's products for forward and backward, over every training example, the first layer once per symbol.
double StepOperations(const RunParameters& run, double examples) {
  const auto width = static_cast<double>(run.model.width);
  const auto symbols = static_cast<double>(run.task.modulus);
  const auto depth = static_cast<double>(run.model.depth);
  return 3 * 2 * width * (examples * ((depth - 1) * width + symbols) + symbols * width);
}

void Report(const std::string& name, const Json& parameters, double rate, double seconds) {
  const RunParameters run = ReadRunParameters(parameters).value();
  const std::unique_ptr<Learner> learner = MakeLearner(run, 0).value();
  const Timing step = Time(seconds, [&] {
    learner->Forward();
    learner->Backward();
    learner->Update();
  });
  learner->Forward();
  const Timing evaluation = Time(seconds / 4, [&] { learner->Evaluate(); });
  const auto examples = static_cast<double>(learner->Forward()[0].examples);
  const double operations = StepOperations(run, examples);
  const double floor = operations / rate;
  std::printf(
      "%-34s %7.2f GFLOP  floor %7.2f ms  step %7.2f ms (best %7.2f)  ratio %5.2f (best %5.2f)  evaluation %6.2f ms\n",
      name.c_str(), operations * 1e-9, floor * 1e3, step.median * 1e3, step.best * 1e3, step.median / floor,
      step.best / floor, evaluation.median * 1e3);
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  double seconds = 2;  // for each figure
  if (argc > 2 || (argc == 2 && (!absl::SimpleAtod(argv[1], &seconds) || !(seconds > 0)))) {
    std::fprintf(stderr, "usage: engine_bench [SECONDS per figure]\n");
    return 2;
  }
  SetUpTrainingThread();
  std::printf("%s\n", CanonicalJson(NumericsFingerprint()).c_str());
  const double rate = ProductRate(seconds);
  std::printf("float32 matrix product: %.1f GFLOP/s\n", rate * 1e-9);
  const Json quickstart = {
      {"task.modulus", 59}, {"task.pairs", "unordered"}, {"task.train_fraction", 0.6},     {"model.depth", 1},
      {"model.width", 128}, {"optimizer.kind", "adamw"}, {"optimizer.learning_rate", 3e-3}};
  Report("d2 w256 gelu sgd", Json::object(), rate, seconds);
  Report("d2 w256 tanh sgd", {{"model.activation", "tanh"}}, rate, seconds);
  Report("d2 w256 relu sgd", {{"model.activation", "relu"}}, rate, seconds);
  Report("d4 w512 gelu sgd", {{"model.depth", 4}, {"model.width", 512}}, rate, seconds);
  Report("p59 d1 w128 gelu adamw (quickstart)", quickstart, rate, seconds);
  Report("d2 w256 gelu sgd, reference", {{"implementation", "reference"}}, rate, seconds);
  return 0;
}

}  // namespace
}  // namespace seedbed::engine

int main(int argc, char** argv) {
  return seedbed::engine::Main(argc, argv);
}
