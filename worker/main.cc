// seedbed-worker: leases runs from a coordinator, has engines train them, reports.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/agent/agent.h"
#include "worker/agent/agent_loop.h"
#include "worker/client/grpc_link.h"
#include "worker/host.h"
#include "worker/process/engine_messages.h"
#include "worker/process/process_engine_pool.h"
#include "worker/process/spawner.h"
#include "worker/signal_watch.h"
#include "worker/state_directory.h"
#include "worker/worker_options.h"

namespace seedbed {
namespace {

// Tells people: one line on stdout when it is registered, the rest as a log on stderr.
class ConsoleObserver final : public agent::AgentObserver {
 public:
  explicit ConsoleObserver(std::string server) : server_(std::move(server)) {}

  void Registered(const agent::SynchronizeRequest& as) override {
    std::cout << "seedbed-worker " << as.name << ": registered with " << server_ << ", " << as.slots
              << (as.slots == 1 ? " slot" : " slots") << " on " << as.device << ", trainers "
              << absl::StrJoin(as.trainers, " ",
                               [](std::string* out, const agent::TrainerOffer& offer) { out->append(offer.trainer); })
              << std::endl;
  }
  void Info(const std::string& text) override { spdlog::info("{}", text); }
  void Warning(const std::string& text) override { spdlog::warn("{}", text); }

 private:
  const std::string server_;
};

void SetUpLog(const WorkerOptions& options) {
  auto logger = spdlog::stderr_logger_mt("worker");
  logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ " + options.name + ": %v");
  logger->set_level(spdlog::level::from_str(options.log_level));
  spdlog::set_default_logger(std::move(logger));
}

EnginePoolOptions PoolOptions(const WorkerOptions& options) {
  EngineLaunch launch;
  launch.argv = {options.engine};
  launch.argv.insert(launch.argv.end(), options.engine_arguments.begin(), options.engine_arguments.end());
  launch.blas_kernel = options.blas_kernel;
  launch.removed_environment = {"SEEDBED_TOKEN"};
  launch.environment = {{"SEEDBED_ENGINE_DEVICE", options.device}};
  if (options.pack > 0) launch.environment.emplace_back("SEEDBED_ENGINE_CAPACITY", absl::StrCat(options.pack));
  EnginePoolOptions pool;
  pool.engines.assign(static_cast<size_t>(options.slots), launch);
  return pool;
}

agent::AgentOptions OptionsOfAgent(const WorkerOptions& options, const std::string& id) {
  agent::AgentOptions made;
  made.worker = WorkerId(id);
  made.name = options.name;
  made.host = HostName();
  made.version = SEEDBED_VERSION;
  made.slots = options.slots * (options.pack > 0 ? options.pack : kMostEngineCapacity);
  made.slots_by_engine = options.pack == 0;
  made.checkpoint_every =
      options.checkpoint_every > 0 ? absl::Seconds(options.checkpoint_every) : absl::InfiniteDuration();
  made.trainers = options.trainers;
  made.required_device = options.device == "auto" ? "" : options.device;
  made.most_prefetch = options.prefetch;
  return made;
}

int Fail(const absl::Status& status) {
  std::cerr << "seedbed-worker: " << status.message() << std::endl;
  return 1;
}

// Of an agent that gave up. 2, as for a mistake on the command line, where it would fail again if it were started again
// as it was.
int FailedFor(const absl::Status& why) {
  Fail(why);
  return absl::IsFailedPrecondition(why) ? 2 : 1;
}

// A worker that lost its parent or is told to stop may still try to store its last checkpoints.
constexpr absl::Duration kDirectoryPatience = absl::Seconds(30);

int Work(const WorkerOptions& options, int cpus, Spawner* spawner) {
  SetUpLog(options);
  RaiseFileLimit();
  // Its messages are for gRPC's developers; ours say what matters.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  if (options.slots > cpus && options.device != "cuda" && !(options.device.rfind("cuda:", 0) == 0)) {
    spdlog::warn("{} slots on {} CPUs: the runs will take turns, and each takes longer", options.slots, cpus);
  }
  const std::string id = RandomId();
  auto directory = options.directory.empty() ? StateDirectory::OpenOwn(StateDirectory::DefaultParent(), id)
                                             : StateDirectory::Open(options.directory, kDirectoryPatience);
  if (!directory.ok()) return Fail(directory.status());

  const SystemClock clock;
  ConsoleObserver observer(options.server);
  agent::AgentLoop loop(&clock);
  ProcessEnginePool pool(PoolOptions(options), spawner, &clock);
  client::GrpcLink link({options.server, options.token, options.tls},
                        [&loop](agent::LinkEvent event) { loop.Post(agent::AgentInput(std::move(event))); });
  std::mt19937_64 random(std::random_device{}());
  agent::Agent agent(OptionsOfAgent(options, id), &link, &pool, directory->get(), &observer,
                     [&random] { return std::uniform_real_distribution<double>(0.0, 1.0)(random); });
  pool.Start([&loop](EngineEvent event) { loop.Post(agent::AgentInput(std::move(event))); });
  {
    SignalWatch signals(
        options.exit_with_parent, [&loop] { loop.Post(agent::ShutdownRequested{}); },
        [&loop] { loop.Post(agent::AbortRequested{}); });
    loop.Run(&agent);
  }
  return agent.failure().ok() ? 0 : FailedFor(agent.failure());
}

}  // namespace
}  // namespace seedbed

int main(int argc, char** argv) {
  const int cpus = seedbed::AvailableCpus();
  const seedbed::ParsedOptions parsed = seedbed::ParseWorkerOptions(argc, argv, cpus);
  if (parsed.leave) return parsed.exit_code;
  // Before there is any thread, and before the signals are blocked, which its children would inherit.
  auto spawner = seedbed::StartSpawner();
  if (!spawner.ok()) return seedbed::Fail(spawner.status());
  seedbed::SignalWatch::BlockSignals();
  return seedbed::Work(parsed.options, cpus, spawner->get());
}
