#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "common/base/json.h"
#include "worker/engine/engine_settings.h"
#include "worker/engine/environment.h"
#include "worker/engine/gpu.h"
#include "worker/engine/messages.h"
#include "worker/engine/numerics.h"
#include "worker/engine/server.h"
#include "worker/engine/torch_export.h"
#include "worker/engine/train_command.h"

namespace seedbed::engine {
namespace {

void PrintUsage(std::ostream& out) {
  out << "seedbed-engine trains grokking models. A worker starts it and talks to it (docs/engine-protocol.md). By "
         "hand:\n"
      << kTrainUsage << kExportUsage
      << "  seedbed-engine version\n      print the version and the numerics fingerprint as JSON\n"
         "  seedbed-engine --help\n";
}

int PrintVersion() {
  SetUpTrainingThread();
  std::cout << CanonicalJson({{"engine", EngineName()}, {"numerics", NumericsFingerprint()}}) << std::endl;
  return 0;
}

// The open descriptor that an environment variable names; says what is wrong if there is none.
bool DescriptorFrom(const char* variable, int* fd) {
  const char* text = std::getenv(variable);
  if (text != nullptr && absl::SimpleAtoi(text, fd) && *fd >= 0 && fcntl(*fd, F_GETFD) >= 0) return true;
  std::cerr << "seedbed-engine: " << variable << (text == nullptr ? " is not set" : " is no open descriptor") << "\n\n";
  return false;
}

int Serve() {
  int input_fd = -1;
  int output_fd = -1;
  if (!DescriptorFrom("SEEDBED_ENGINE_INPUT_FD", &input_fd) ||
      !DescriptorFrom("SEEDBED_ENGINE_OUTPUT_FD", &output_fd)) {
    PrintUsage(std::cerr);
    return 2;
  }
  const absl::StatusOr<EngineSettings> settings =
      ReadEngineSettings(std::getenv("SEEDBED_ENGINE_DEVICE"), std::getenv("SEEDBED_ENGINE_CAPACITY"),
                         std::getenv("SEEDBED_ENGINE_PACK"), GpuCount());
  if (!settings.ok()) {
    std::cerr << "seedbed-engine: " << settings.status().message() << std::endl;
    return 2;
  }
  // The end of the input is how an engine learns of its worker's death; this is for an engine that hangs then.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  return ServeEngine(input_fd, output_fd, *settings);
}

int Main(int argc, char** argv) {
  EnsureBlasEnvironment(argv);
  signal(SIGPIPE, SIG_IGN);
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.empty() || words[0] == "serve") return Serve();
  if (words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    PrintUsage(std::cout);
    return 0;
  }
  if (words[0] == "version" || words[0] == "--version") return PrintVersion();
  if (words[0] == "train") {
    if (words.size() > 1 && (words[1] == "--help" || words[1] == "-h")) {
      std::cout << kTrainUsage;
      return 0;
    }
    return RunTrainCommand({words.begin() + 1, words.end()});
  }
  if (words[0] == "export") return RunExportCommand({words.begin() + 1, words.end()});
  std::cerr << "seedbed-engine: there is no command '" << words[0] << "'\n";
  PrintUsage(std::cerr);
  return 2;
}

}  // namespace
}  // namespace seedbed::engine

int main(int argc, char** argv) {
  return seedbed::engine::Main(argc, argv);
}
