// run: the embedded default.
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/embedded/embedded_options.h"

namespace seedbed::cli {

void AddRunCommand(Commands& commands) {
  const auto options = std::make_shared<EmbeddedOptions>();
  CLI::App* run = commands.Add("run", "Train a sweep here: starts a coordinator and workers, and prints the results",
                               "seedbed run studies/quickstart.yaml\n"
                               "seedbed run sweep.yaml seeds=5 --data results --slots 4\n"
                               "seedbed run sweep.yaml        # again: goes on where it stopped\n"
                               "seedbed run sweep.yaml --json | jq '.results[].median_delay'");
  run->add_option("file", options->file, "Sweep file (YAML); - reads standard input")->required()->type_name("FILE");
  run->add_option("overrides", options->overrides, "Changes to the file, e.g. seeds=3 optimizer.weight_decay=1e-4,1e-3")
      ->type_name("KEY=VALUE");
  run->add_option("--workers", options->workers, "Worker processes")->check(CLI::Range(1, 1024))->capture_default_str();
  run->add_option("--slots", options->slots, "Runs at once in each worker (default: one per CPU, shared among workers)")
      ->check(CLI::Range(1, 4096));
  run->add_option("--device", options->device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  commands.OnRun(run, [options](Context& context) { return context.environment().run(context, *options); });
}

}  // namespace seedbed::cli
