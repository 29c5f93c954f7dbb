// What a large sweep costs: to submit, in memory, to start again on, and to look at. By the number of runs.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "bench/coordinator/arguments.h"
#include "bench/coordinator/connection.h"
#include "bench/coordinator/lease_holder.h"

extern char** environ;

namespace seedbed::bench {
namespace {

double Megabytes(int64_t bytes) {
  return static_cast<double>(bytes) / 1e6;
}

// The calls of `seedbed status`.
double StatusSeconds(Connection* connection) {
  std::vector<double> times;
  for (int i = 0; i < 11; ++i) {
    const double start = Seconds();
    {
      grpc::ClientContext context;
      connection->Prepare(&context);
      v1::GetServerInfoResponse response;
      Check(connection->sweeps().GetServerInfo(&context, {}, &response), "ask the coordinator about itself");
    }
    ListSweeps(connection);
    grpc::ClientContext context;
    connection->Prepare(&context);
    v1::ListWorkersResponse workers;
    Check(connection->sweeps().ListWorkers(&context, {}, &workers), "list workers");
    times.push_back(Seconds() - start);
  }
  return Percentile(std::move(times), 0.5);
}

// The whole program, as people call it; 0 where there is none to call.
double StatusProgramSeconds(const std::string& program, const CoordinatorProcess& coordinator,
                            const std::string& directory) {
  if (!std::filesystem::exists(program)) return 0;
  const std::string token = directory + "/data/token";
  std::vector<std::string> words = {program, "--server", coordinator.address(), "--token-file", token, "status"};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::vector<double> times;
  for (int i = 0; i < 11; ++i) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    const double start = Seconds();
    pid_t process = -1;
    const int failed = posix_spawn(&process, program.c_str(), &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) Check(absl::NotFoundError(program), "start seedbed");
    int status = 0;
    waitpid(process, &status, 0);
    times.push_back(Seconds() - start);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) Check(absl::UnknownError("it failed"), "run seedbed status");
  }
  return Percentile(std::move(times), 0.5);
}

// One Synchronize that takes `leases` runs out of the queue.
double LeaseSeconds(const CoordinatorProcess& coordinator, int leases) {
  LeaseHolder worker(coordinator, "taker", leases);
  worker.TakeAll();
  return worker.TakeLatencies().front();
}

void Measure(const Arguments& arguments, int64_t configurations, int64_t seeds, bool keep, Report* report) {
  const ScratchDirectory scratch(arguments.directory, keep);
  const std::string data = scratch.path() + "/data";
  auto coordinator = CoordinatorProcess::Start(arguments.coordinator, data);
  auto connection = std::make_unique<Connection>(*coordinator);
  const std::string text = SweepText("large", configurations, seeds);
  const int64_t empty = coordinator->Figures().resident_bytes;
  const double start = Seconds();
  const v1::SubmitSweepResponse submitted = Submit(connection.get(), text);
  const double submit_seconds = Seconds() - start;
  if (submitted.runs_total() != configurations * seeds) {
    Check(absl::InternalError(absl::StrCat(submitted.runs_total(), " runs")), "submit a sweep");
  }
  const int64_t peak = coordinator->Figures().peak_resident_bytes;
  const double status_seconds = StatusSeconds(connection.get());
  const double program_seconds = StatusProgramSeconds(SiblingProgram("seedbed"), *coordinator, scratch.path());
  const double lease_seconds = LeaseSeconds(*coordinator, 1000);
  coordinator->Kill();
  coordinator = CoordinatorProcess::Start(arguments.coordinator, data);
  const double restart_seconds = coordinator->seconds_to_serve();
  const ProcessFigures again = coordinator->Figures();
  connection = std::make_unique<Connection>(*coordinator);
  const v1::RunCounts runs = ListSweeps(connection.get()).sweeps(0).runs();
  const int64_t leased = std::min<int64_t>(1000, configurations * seeds);
  if (runs.queued() + runs.running() != configurations * seeds || runs.running() != leased) {
    Check(absl::InternalError(absl::StrCat(runs.queued(), " queued, ", runs.running(), " running")), "find all runs");
  }
  coordinator->Stop();
  const double bytes = static_cast<double>(std::filesystem::file_size(data + "/results.db"));
  report->AddRow({configurations, seeds, configurations * seeds, submit_seconds, Megabytes(peak),
                  Megabytes(again.peak_resident_bytes), Megabytes(again.resident_bytes - empty), restart_seconds,
                  1e3 * status_seconds, 1e3 * program_seconds, 1e3 * lease_seconds,
                  bytes / static_cast<double>(configurations * seeds)});
}

int Main(int argc, char** argv) {
  Arguments arguments;
  std::vector<std::string> shapes = {"2000x5", "20000x5", "200000x5", "1000000x1"};
  bool keep = false;
  CLI::App app("What a large sweep costs its coordinator.");
  Describe(&app, &arguments);
  app.add_option("--shapes", shapes, "configurations x seeds, one row each")->capture_default_str();
  app.add_flag("--keep", keep, "leave the data directories behind");
  CLI11_PARSE(app, argc, argv);
  if (arguments.smoke) shapes = {"400x5"};
  Report report("large sweeps",
                {"configurations", "seeds", "runs", "submit s", "peak RSS MB", "peak RSS MB after restart",
                 "RSS MB kept", "restart s", "status ms", "seedbed status ms", "lease 1000 ms", "bytes/run"});
  {
    const ScratchDirectory scratch(arguments.directory, /*keep=*/false);
    report.AddFact("fsync of 4 KiB, ms", 1e3 * FsyncSeconds(scratch.path()));
    const auto coordinator = CoordinatorProcess::Start(arguments.coordinator, scratch.path() + "/data");
    report.AddFact("start on an empty directory, s", coordinator->seconds_to_serve());
    Connection connection(*coordinator);
    report.AddFact("seedbed status of nothing, ms",
                   1e3 * StatusProgramSeconds(SiblingProgram("seedbed"), *coordinator, scratch.path()));
  }
  for (const std::string& shape : shapes) {
    const std::vector<std::string> factors = absl::StrSplit(shape, 'x');
    int64_t configurations = 0;
    int64_t seeds = 0;
    if (factors.size() != 2 || !absl::SimpleAtoi(factors[0], &configurations) ||
        !absl::SimpleAtoi(factors[1], &seeds) || configurations < 1 || seeds < 1) {
      Check(absl::InvalidArgumentError(shape), "read a shape; expected CONFIGURATIONSxSEEDS, e.g. 2000x5");
    }
    Measure(arguments, configurations, seeds, keep, &report);
  }
  report.Print(arguments.json);
  return 0;
}

}  // namespace
}  // namespace seedbed::bench

int main(int argc, char** argv) {
  return seedbed::bench::Main(argc, argv);
}
