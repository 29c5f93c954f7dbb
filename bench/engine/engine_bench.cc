// How long a training step and an evaluation take, as ratios to their floors: the floating-point operations of their
// matrix products (model_operations.h) over the rate of the library's own matrix product, both taken in this run, on
// one thread, by the thread's CPU time; and what a second process on a second core adds. Each figure is the best of
// many, as neighbours on the machine only ever make it slower.
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "bench/engine/model_operations.h"
#include "bench/engine/pack_bench.h"
#include "common/base/json.h"
#include "worker/engine/blas_library.h"
#include "worker/engine/environment.h"
#include "worker/engine/example_rows.h"
#include "worker/engine/gpu.h"
#include "worker/engine/learner.h"
#include "worker/engine/matrix_product.h"
#include "worker/engine/numerics.h"

extern char** environ;

namespace seedbed::engine {
namespace {

constexpr int kRounds = 4;  // products and steps in turn, so that both see the machine at its best

double Seconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// The least CPU seconds of one call, over calls that fill about `seconds`, after one that does not count.
double Best(double seconds, const std::function<void()>& call) {
  call();
  double best = 1e300;
  int calls = 0;
  const double start = Seconds(CLOCK_THREAD_CPUTIME_ID);
  while (calls < 3 || Seconds(CLOCK_THREAD_CPUTIME_ID) - start < seconds) {
    const double before = Seconds(CLOCK_THREAD_CPUTIME_ID);
    call();
    best = std::min(best, Seconds(CLOCK_THREAD_CPUTIME_ID) - before);
    ++calls;
  }
  return best;
}

// Operations per second of a float32 product [rows, inner] · [inner, columns].
double ProductRate(int64_t rows, int64_t inner, int64_t columns, double seconds) {
  std::vector<float> out(static_cast<size_t>(rows * columns)), left(static_cast<size_t>(rows * inner), 0.5F),
      right(static_cast<size_t>(inner * columns), 0.25F);
  MatrixProduct<float> product({out.data(), rows, columns}, {left.data(), rows, inner}, {right.data(), inner, columns});
  const double operations = 2.0 * static_cast<double>(rows) * static_cast<double>(inner) * static_cast<double>(columns);
  return operations / Best(seconds, [&] { product.Run(); });
}

struct Shape {
  int64_t rows, inner, columns;
};

constexpr Shape kShapes[] = {{1024, 1024, 1024}, {2048, 2048, 2048}, {1696, 256, 256},
                             {1696, 512, 512},   {3764, 512, 2048},  {1696, 256, 97}};

double BestRate(double seconds, Shape* best_shape) {
  double best = 0;
  for (const Shape& shape : kShapes) {
    const double rate = ProductRate(shape.rows, shape.inner, shape.columns, seconds / 2);
    std::printf("  float32 product %ld x %ld x %ld: %.1f GFLOP/s\n", static_cast<long>(shape.rows),
                static_cast<long>(shape.inner), static_cast<long>(shape.columns), rate * 1e-9);
    if (rate > best) *best_shape = shape;
    best = std::max(best, rate);
  }
  return best;
}

struct Case {
  const char* name;
  Json parameters;
};

std::vector<Case> Cases() {
  const Json transformer = {{"model.kind", "transformer"},
                            {"model.depth", 1},
                            {"model.width", 512},
                            {"optimizer.kind", "adamw"},
                            {"optimizer.learning_rate", 1e-3},
                            {"optimizer.weight_decay", 1.0},
                            {"optimizer.clip_norm", 1.0}};
  const Json residual = {
      {"model.kind", "residual_mlp"}, {"model.depth", 8}, {"model.width", 512}, {"optimizer.clip_norm", 1.0}};
  const Json quickstart = {
      {"task.modulus", 59}, {"task.pairs", "unordered"}, {"task.train_fraction", 0.6},     {"model.depth", 1},
      {"model.width", 128}, {"optimizer.kind", "adamw"}, {"optimizer.learning_rate", 3e-3}};
  return {{"mlp d2 w256", Json::object()},
          {"mlp d4 w512", {{"model.depth", 4}, {"model.width", 512}}},
          {"residual_mlp d8 w512", residual},
          {"transformer d512", transformer},
          {"mlp p59 d1 w128 adamw", quickstart}};
}

void Step(Learner* learner) {
  learner->Forward();
  learner->Backward();
  learner->Update();
}

// Prints one line, and returns it as data.
Json Report(const Case& one, bool reference, Shape shape, double rate, double seconds) {
  Json parameters = one.parameters;
  if (reference) parameters["implementation"] = "reference";
  const RunParameters run = ReadRunParameters(parameters).value();
  const std::unique_ptr<Learner> learner = MakeLearner(run, 0).value();
  const Task task = BuildTask(run.task).value();
  const ModelOperations operations = OperationsOf(run.model, task.symbols, task.classes);
  const ExampleRows rows = run.model.kind == "transformer" ? KeepOrder(task) : MergeMirrored(task);

  double step = 1e300;
  double evaluation = 1e300;
  for (int round = 0; round < kRounds; ++round) {
    rate = std::max(rate, ProductRate(shape.rows, shape.inner, shape.columns, seconds / kRounds / 2));
    step = std::min(step, Best(seconds / kRounds, [&] { Step(learner.get()); }));
    learner->Forward();
    evaluation = std::min(evaluation, Best(seconds / kRounds / 4, [&] { learner->Evaluate(); }));
  }
  const double step_operations = operations.Step(static_cast<double>(task.train.size()));
  const double floor = step_operations / rate;
  const double evaluation_floor = operations.Evaluation(static_cast<double>(rows.tested_only.size())) / rate;
  std::printf("%-32s %6.2f GFLOP at %5.1f GFLOP/s: floor %7.2f ms, step %7.2f ms = %.2f;", one.name,
              step_operations * 1e-9, rate * 1e-9, floor * 1e3, step * 1e3, step / floor);
  std::printf(" evaluation of %zu distinct pairs: floor %6.2f ms, %6.2f ms = %.2f\n", rows.tested_only.size(),
              evaluation_floor * 1e3, evaluation * 1e3, evaluation / evaluation_floor);
  std::fflush(stdout);
  return {{"name", one.name},
          {"implementation", reference ? "reference" : "auto"},
          {"rate", rate},
          {"floor_seconds", floor},
          {"step_seconds", step},
          {"evaluation_floor_seconds", evaluation_floor},
          {"evaluation_seconds", evaluation}};
}

// As a child of MeasureProcesses: how many steps a second of wall time, to stdout.
int CountSteps(double seconds) {
  const std::unique_ptr<Learner> learner = MakeLearner(ReadRunParameters(Json::object()).value(), 0).value();
  for (int i = 0; i < 5; ++i) Step(learner.get());
  int64_t steps = 0;
  const double start = Seconds(CLOCK_MONOTONIC);
  while (Seconds(CLOCK_MONOTONIC) - start < seconds) {
    Step(learner.get());
    ++steps;
  }
  std::printf("%.6f\n", static_cast<double>(steps) / (Seconds(CLOCK_MONOTONIC) - start));
  return 0;
}

// The sum of what `count` processes report that run at the same time; 0 if one failed.
double StepsPerSecond(int count, double seconds) {
  struct Child {
    pid_t pid = -1;
    FILE* output = nullptr;
  };
  std::vector<Child> children(static_cast<size_t>(count));
  for (Child& child : children) {
    int ends[2];
    if (pipe(ends) != 0) return 0;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    std::string name = "engine_bench", option = "--count-steps", value = absl::StrCat(seconds);
    char* arguments[] = {name.data(), option.data(), value.data(), nullptr};
    if (posix_spawn(&child.pid, "/proc/self/exe", &actions, nullptr, arguments, environ) != 0) child.pid = -1;
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    child.output = fdopen(ends[0], "r");
  }
  double sum = 0;
  bool all_reported = true;
  for (const Child& child : children) {
    double rate = 0;
    all_reported = child.pid > 0 && std::fscanf(child.output, "%lf", &rate) == 1 && all_reported;
    sum += rate;
    std::fclose(child.output);
    if (child.pid > 0) waitpid(child.pid, nullptr, 0);
  }
  return all_reported ? sum : 0;
}

void MeasureProcesses(double seconds) {
  if (std::thread::hardware_concurrency() < 2) {
    std::printf("two processes: not measured, the machine has one core\n");
    return;
  }
  double one = 0;
  double two = 0;
  for (int round = 0; round < kRounds; ++round) {
    one = std::max(one, StepsPerSecond(1, seconds));
    two = std::max(two, StepsPerSecond(2, seconds));
  }
  if (one == 0 || two == 0) {
    std::printf("two processes: not measured, a child failed\n");
    return;
  }
  std::printf("mlp d2 w256, steps a second: one process %.1f, two %.1f = %.2f times\n", one, two, two / one);
}

void PrintLibrary() {
  std::printf("%s\n", CanonicalJson(NumericsFingerprint()).c_str());
  const std::string description = BlasDescription();
  const bool chooses = description.find("DYNAMIC_ARCH") != std::string::npos;
  std::printf("BLAS kernel: %s%s\n", BlasKernelName().c_str(),
              chooses ? "" : " (the only one that this BLAS has, or it does not say)");
}

int Usage() {
  std::fprintf(stderr,
               "usage: engine_bench [SECONDS per figure] [FILE for the figures as JSON]\n"
               "       engine_bench --packs DEVICE MOST_REPLICAS [SECONDS per figure]\n");
  return 2;
}

// Stacked packs alone, on any device.
int MeasurePacks(int argc, char** argv) {
  int most = 0;
  double seconds = 1;
  if (argc < 4 || argc > 5 || !absl::SimpleAtoi(argv[3], &most) ||
      (argc == 5 && !absl::SimpleAtod(argv[4], &seconds))) {
    return Usage();
  }
  ReportPacks(argv[2], most, seconds);
  return 0;
}

int Main(int argc, char** argv) {
  EnsureBlasEnvironment(argv);
  SetUpTrainingThread();
  double seconds = 4;
  if (argc == 3 && std::string(argv[1]) == "--count-steps") {
    return absl::SimpleAtod(argv[2], &seconds) ? CountSteps(seconds) : Usage();
  }
  if (argc > 1 && std::string(argv[1]) == "--packs") return MeasurePacks(argc, argv);
  if (argc > 3 || (argc >= 2 && (!absl::SimpleAtod(argv[1], &seconds) || !(seconds > 0)))) return Usage();
  PrintLibrary();
  Shape shape{};
  const double rate = BestRate(seconds, &shape);
  Json figures = Json::array();
  for (const Case& one : Cases()) figures.push_back(Report(one, false, shape, rate, seconds));
  std::printf("the reference (autograd):\n");
  for (const Case& one : Cases()) figures.push_back(Report(one, true, shape, rate, seconds));
  MeasureProcesses(seconds);
  if (GpuCount() > 0) {
    for (Json& figure : ReportPacks("cuda:0", 256, seconds)) figures.push_back(std::move(figure));
  } else {
    std::printf("packs on a GPU: not measured, no GPU that this LibTorch can use\n");
  }
  if (argc == 3) std::ofstream(argv[2]) << figures.dump(1) << "\n";
  return 0;
}

}  // namespace
}  // namespace seedbed::engine

int main(int argc, char** argv) {
  return seedbed::engine::Main(argc, argv);
}
