#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "cli/context.h"

namespace seedbed::cli {

// Does a command and returns the exit code. An error is printed by the caller, which also picks its exit code.
using Action = std::function<absl::StatusOr<int>(Context&)>;

// Where the groups of commands register themselves.
class Commands {
 public:
  explicit Commands(CLI::App& app) : app_(app) {}

  // A subcommand with its help. `examples` stands under it, one a line.
  CLI::App* Add(const std::string& name, const std::string& description, const std::string& examples);
  // What `command` does once its options are parsed.
  void OnRun(CLI::App* command, Action action);

  CLI::App& app() { return app_; }
  const Action& chosen() const { return chosen_; }

 private:
  CLI::App& app_;
  Action chosen_;
};

// Checks of an option's word, which say what was expected: a whole number, or any, of at least `least`.
CLI::Validator WholeNumber(int64_t least);
CLI::Validator NumberFrom(double least);
// HOST:PORT with a port from `least_port` on, or also unix:/path.
CLI::Validator Address(int least_port, bool or_socket);

void AddSweepFileCommands(Commands& commands);   // plan, submit
void AddRunCommand(Commands& commands);          // run
void AddProgressCommands(Commands& commands);    // status, watch, wait
void AddListCommands(Commands& commands);        // sweeps, runs, workers
void AddShowCommands(Commands& commands);        // show, logs
void AddControlCommands(Commands& commands);     // pause, resume, cancel, retry, extend, delete, prune, drain
void AddDataCommands(Commands& commands);        // query, export
void AddCheckpointCommands(Commands& commands);  // checkpoint
void AddVerifyCommand(Commands& commands);       // verify
void AddSecurityCommands(Commands& commands);    // token, tls, dashboard
void AddProgramCommands(Commands& commands);     // version, completion

// "seedbed 1.2.3", as `version` and --version print it.
std::string VersionLine();

// Parses `arguments` (without the program's name), does the command, prints errors, and returns the exit code.
int RunCommandLine(const std::vector<std::string>& arguments, Environment& environment);

}  // namespace seedbed::cli
