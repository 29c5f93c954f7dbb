#include "worker/worker_options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/loopback.h"
#include "common/base/text.h"
#include "common/secrets/bearer_token.h"
#include "worker/host.h"

namespace seedbed {
namespace {

// Of HOST:PORT.
bool IsLoopback(const std::string& server) {
  const std::string host = server.substr(0, server.rfind(':'));
  return host == "[::1]" || IsLoopbackHost(host);
}

std::string CheckDevice(const std::string& device) {
  if (device == "auto" || device == "cpu" || device == "cuda") return "";
  int number = 0;
  if (absl::StartsWith(device, "cuda:") && absl::SimpleAtoi(device.substr(5), &number) && number >= 0) return "";
  return "expected auto, cpu, cuda or cuda:N, got " + device;
}

std::string CheckName(const std::string& name) {
  return IsPlainName(name) ? ""
                           : "a name is 1 to 128 letters, digits, '_', '.', '-', and begins with a letter or digit";
}

std::string CheckPack(const std::string& pack) {
  int number = 0;
  if (pack == "auto" || (absl::SimpleAtoi(pack, &number) && number >= 1 && number <= 4096)) return "";
  return "expected auto or a number from 1 to 4096, got " + pack;
}

struct Texts {
  std::string pack = "auto";
  std::string token_file;
  TlsFiles tls;
  std::vector<std::string> trainers;
};

void AddOptions(CLI::App& app, WorkerOptions& options, Texts& texts) {
  app.add_option("--server", options.server, "The coordinator: HOST:PORT or unix:/path")
      ->required()
      ->envname("SEEDBED_SERVER");
  app.add_option("--slots", options.slots,
                 "Engines at work at once (default: the CPUs that this process may use; on a GPU 1)")
      ->check(CLI::Range(1, 4096));
  app.add_option("--device", options.device, "auto, cpu, cuda or cuda:N")->check(CheckDevice)->capture_default_str();
  app.add_option("--name", options.name, "What people call this worker (default: HOST-PID)")->check(CheckName);
  app.add_option(
      "--directory", options.directory,
      "Where runs keep their files while they train (default: one of its own below $XDG_STATE_HOME/seedbed or "
      "~/.local/state/seedbed, removed at the end)");
  app.add_option("--engine", options.engine, "The training program (default: seedbed-engine beside this program)");
  app.add_option("--engine-arg", options.engine_arguments, "An argument for the engine; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--trainers", texts.trainers,
                 "Take runs of these trainers only, e.g. modular (default: all of the engine's)")
      ->delimiter(',');
  app.add_option("--token-file", texts.token_file, "File with a token of role worker (or set SEEDBED_TOKEN)");
  app.add_option("--tls-ca", texts.tls.ca, "PEM file with the authority of the coordinator's certificate: use TLS")
      ->envname("SEEDBED_TLS_CA");
  app.add_option("--tls-certificate", texts.tls.certificate, "PEM file with this worker's certificate, for mutual TLS")
      ->envname("SEEDBED_TLS_CERTIFICATE");
  app.add_option("--tls-key", texts.tls.key, "PEM file with its private key")->envname("SEEDBED_TLS_KEY");
  app.add_option(
         "--blas-kernel", options.blas_kernel,
         "OpenBLAS kernel of the engines: auto, none (the library's own choice), or a name as in OPENBLAS_CORETYPE")
      ->capture_default_str();
  app.add_option("--prefetch", options.prefetch, "Leases held beyond the slots while runs are short")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option(
         "--pack", texts.pack,
         "Runs of like shape that one engine trains together; auto: 1 on a CPU, on a GPU what its memory allows")
      ->check(CheckPack)
      ->capture_default_str();
  app.add_option(
         "--checkpoint-every", options.checkpoint_every,
         "Seconds between two checkpoints of a run, longer where they cost more than 1 %; 0: only at the end and "
         "where a run is handed back")
      ->check(CLI::Range(0.0, 1e9))
      ->capture_default_str();
  app.add_option("--exit-with-parent", options.exit_with_parent,
                 "Leave when this open descriptor comes to its end of file")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--log-level", options.log_level, "debug, info, warning, error or off")
      ->check(CLI::IsMember({"debug", "info", "warning", "error", "off"}))
      ->capture_default_str();
  app.set_version_flag("--version", std::string("seedbed-worker " SEEDBED_VERSION));
}

absl::Status FillIn(WorkerOptions& options, const Texts& texts, int available_cpus) {
  auto token = FindToken(texts.token_file, options.server);
  if (!token.ok()) return token.status();
  options.token = *std::move(token);
  if (!absl::StartsWith(options.server, "unix:")) {
    auto tls = LoadTlsPems(texts.tls, TlsSide::kClient, absl::Now());
    if (!tls.ok()) return tls.status();
    options.tls = *std::move(tls);
  }
  options.trainers = texts.trainers;
  const bool on_gpu = absl::StartsWith(options.device, "cuda");
  if (options.slots == 0) options.slots = on_gpu ? 1 : available_cpus;
  options.pack = on_gpu ? 0 : 1;
  if (texts.pack != "auto" && !absl::SimpleAtoi(texts.pack, &options.pack)) {
    return absl::InvalidArgumentError("--pack: " + CheckPack(texts.pack));
  }
  if (options.name.empty()) options.name = absl::StrCat(HostName(), "-", getpid());
  if (options.engine.empty()) options.engine = ProgramDirectory() + "/seedbed-engine";
  if (absl::StrContains(options.engine, "/") && access(options.engine.c_str(), X_OK) != 0) {
    return absl::NotFoundError(
        absl::StrCat("there is no program at ", options.engine, "; give the engine with --engine"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> FindToken(const std::string& token_file, const std::string& server) {
  auto token = GivenToken(token_file);
  if (!token.ok() || !token->empty() || !IsLoopback(server)) return token;
  token = GivenToken("seedbed-data/token");
  return token.ok() ? token : std::string();
}

ParsedOptions ParseWorkerOptions(int argc, char** argv, int available_cpus) {
  ParsedOptions parsed;
  parsed.options.slots = 0;  // not given
  Texts texts;
  CLI::App app("Trains runs for a Seedbed coordinator: leases them, supervises the engines, reports.",
               "seedbed-worker");
  AddOptions(app, parsed.options, texts);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    parsed.leave = true;
    parsed.exit_code = 2;
    if (error.get_exit_code() == 0) {
      parsed.exit_code = app.exit(error);
    } else if (std::string(error.what()) == "--server is required") {
      std::cerr << "seedbed-worker: which coordinator? Give --server HOST:PORT or unix:/path, or set SEEDBED_SERVER.\n"
                   "  `seedbed-worker --help` says what can be given.\n";
    } else {
      std::cerr << "seedbed-worker: " << error.what() << "\n  `seedbed-worker --help` says what can be given.\n";
    }
    return parsed;
  }
  const absl::Status filled = FillIn(parsed.options, texts, available_cpus);
  if (!filled.ok()) {
    std::cerr << "seedbed-worker: " << filled.message() << "\n";
    parsed.leave = true;
    parsed.exit_code = 2;
  }
  return parsed;
}

}  // namespace seedbed
