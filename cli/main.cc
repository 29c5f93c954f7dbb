// seedbed: the command line.
#include <limits.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/connection.h"
#include "cli/embedded/embedded_run.h"
#include "cli/signals.h"

namespace {

int TerminalWidth() {
  if (isatty(STDOUT_FILENO) == 0) return 0;
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const char* columns = std::getenv("COLUMNS");
  const int width = columns == nullptr ? 0 : std::atoi(columns);
  return width > 0 ? width : 80;
}

bool ColorWanted() {
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && no_color[0] != '\0') return false;
  const char* terminal = std::getenv("TERM");
  return terminal != nullptr && std::string(terminal) != "dumb";
}

// Where this program lies: its siblings lie there too. SEEDBED_BIN goes first.
std::string ProgramDirectory() {
  const char* given = std::getenv("SEEDBED_BIN");
  if (given != nullptr && given[0] != '\0') return given;
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
  if (length <= 0) return ".";
  const std::string program(path, static_cast<size_t>(length));
  return program.substr(0, program.rfind('/'));
}

}  // namespace

int main(int argc, char** argv) {
  using namespace seedbed::cli;  // NOLINT: this is the program that the namespace is for
  InstallSignals();
  // Its messages are for gRPC's developers; ours say what matters.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  DescriptorOutput out(STDOUT_FILENO);
  DescriptorOutput err(STDERR_FILENO);
  Environment environment;
  environment.out = &out;
  environment.err = &err;
  environment.style.width = TerminalWidth();
  environment.style.color = environment.style.width > 0 && ColorWanted();
  environment.current_width = TerminalWidth;
  environment.may_ask = isatty(STDIN_FILENO) != 0 && isatty(STDERR_FILENO) != 0;
  environment.read_line = [] {
    std::string line;
    std::getline(std::cin, line);
    return line;
  };
  environment.connect = Connect;
  environment.run = [](Context& context, const EmbeddedOptions& options) {
    return EmbeddedRun(context, options, ProgramDirectory()).Run();
  };
  return RunCommandLine(std::vector<std::string>(argv + 1, argv + argc), environment);
}
