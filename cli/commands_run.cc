// run: the embedded default.
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cli/commands.h"
#include "cli/embedded/embedded_options.h"

namespace seedbed::cli {
namespace {

// As seedbed-worker takes them: a child that dies of its command line would be a poor way to say so.
std::string CheckDevice(const std::string& device) {
  if (device == "auto" || device == "cpu" || device == "cuda") return "";
  int number = 0;
  if (absl::StartsWith(device, "cuda:") && absl::SimpleAtoi(device.substr(5), &number) && number >= 0) return "";
  return absl::StrCat("expected auto, cpu, cuda or cuda:N, got ", device);
}

std::string CheckPack(const std::string& pack) {
  int number = 0;
  if (pack == "auto" || (absl::SimpleAtoi(pack, &number) && number >= 1 && number <= 4096)) return "";
  return absl::StrCat("expected auto or a number from 1 to 4096, got ", pack);
}

}  // namespace

void AddRunCommand(Commands& commands) {
  const auto options = std::make_shared<EmbeddedOptions>();
  CLI::App* run = commands.Add("run", "Train a sweep here: starts a coordinator and workers, and prints the results",
                               "seedbed run studies/quickstart.yaml\n"
                               "seedbed run sweep.yaml seeds=5 --data results --slots 4\n"
                               "seedbed run sweep.yaml        # again: goes on where it stopped\n"
                               "seedbed run sweep.yaml --http 127.0.0.1:8080\n"
                               "seedbed run sweep.yaml --json | jq '.results[].median_delay'");
  run->add_option("file", options->file, "Sweep file (YAML); - reads standard input")->required()->type_name("FILE");
  run->add_option("overrides", options->overrides, "Changes to the file, e.g. seeds=3 optimizer.weight_decay=1e-4,1e-3")
      ->type_name("KEY=VALUE");
  run->add_option("--workers", options->workers, "Worker processes")->check(CLI::Range(1, 1024))->capture_default_str();
  run->add_option("--slots", options->slots, "Runs at once in each worker (default: one per CPU, shared among workers)")
      ->check(CLI::Range(1, 4096));
  run->add_option("--device", options->device, "auto, cpu, cuda or cuda:N")->check(CheckDevice)->capture_default_str();
  run->add_option(
         "--pack", options->pack,
         "Runs of like shape that one engine trains together; auto: 1 on a CPU, on a GPU what its memory allows")
      ->check(CheckPack)
      ->capture_default_str();
  run->add_option("--checkpoint-every", options->checkpoint_every,
                  "Seconds between two checkpoints of a run; 0: only at its end (default: the worker's)")
      ->check(CLI::Range(0.0, 1e9));
  run->add_option("--least-free-disk", options->least_free_disk,
                  "MiB of free disk below which metric rows wait (default: the coordinator's)")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30));
  run->add_option("--http", options->http,
                  "Serve the dashboard there meanwhile, HOST:PORT (port 0: a free one); prints a link that opens it")
      ->check(Address(/*least_port=*/0, /*or_socket=*/false));
  commands.OnRun(run, [options](Context& context) { return context.environment().run(context, *options); });
}

}  // namespace seedbed::cli
