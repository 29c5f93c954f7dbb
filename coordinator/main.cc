// seedbed-coordinator: serves one data directory until it is told to stop.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"
#include "common/secrets/pem_files.h"
#include "coordinator/access/listen_address.h"
#include "coordinator/coordinator.h"
#include "coordinator/rpc/server.h"
#include "coordinator/server_file.h"
#include "coordinator/storage/data_directory.h"
#include "coordinator/web/web_server.h"
#include "spdlog/sinks/stdout_color_sinks.h"
#include "spdlog/spdlog.h"

namespace seedbed {
namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;
// A clean stop takes less; beyond this somebody's long query is in the way, and all that matters is durable.
constexpr unsigned kStopLimitSeconds = 4;

struct Arguments {
  std::vector<std::string> listen = {"127.0.0.1:7070"};
  std::string data = "seedbed-data";
  std::string token_file;
  std::string http;
  std::vector<std::string> http_hosts;
  double lease_seconds = 15;
  std::string synchronous = "full";
  std::string journal = "wal";
  int64_t least_free_mebibytes = LeastFreeBytes() >> 20;
  double checkpoint_quota_gibibytes = 0;
  TlsFiles tls;
  bool insecure = false;
  bool workers_are_gone = false;
  std::string log_level = "info";
  int exit_with_parent = -1;
  int ready_fd = -1;
};

void Describe(CLI::App* app, Arguments* arguments) {
  app->description("Keeps sweeps and their results in a data directory and hands runs to workers.");
  app->set_version_flag("--version", std::string("seedbed-coordinator ") + SEEDBED_VERSION);
  app->add_option("--listen", arguments->listen,
                  "where to listen, HOST:PORT (port 0: a free one) or unix:/path; may be given several times")
      ->capture_default_str();
  app->add_option("--data", arguments->data, "the data directory; made if it does not exist")->capture_default_str();
  app->add_option("--http", arguments->http,
                  "serve the dashboard, its API and metrics there too, HOST:PORT (port 0: a free one); with the "
                  "certificates of --tls-* if they are given");
  app->add_option("--http-host", arguments->http_hosts,
                  "another name of this machine that browsers may ask for; may be given several times")
      ->type_name("NAME");
  app->add_option(
      "--token-file", arguments->token_file,
      "holds the admin token for TCP (default: DATA/token, made at random); `seedbed token create` makes others");
  app->add_option("--lease-seconds", arguments->lease_seconds,
                  "a worker that is not heard of for so long loses its runs")
      ->check(CLI::Range(0.5, 3600.0))
      ->capture_default_str();
  app->add_option("--synchronous", arguments->synchronous,
                  "full: commits survive a power cut; normal: the last ones may not, a crash of the process they do")
      ->check(CLI::IsMember({"full", "normal"}))
      ->capture_default_str();
  app->add_option("--journal", arguments->journal, "delete: for data directories on network file systems, slower")
      ->check(CLI::IsMember({"wal", "delete"}))
      ->capture_default_str();
  app->add_option("--least-free-disk", arguments->least_free_mebibytes,
                  "MiB of free disk below which metric rows wait while control goes on")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30))
      ->capture_default_str();
  app->add_option(
         "--checkpoint-quota", arguments->checkpoint_quota_gibibytes,
         "GiB that checkpoints may take up in the data directory; beyond it new ones are refused (0: no limit)")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  app->add_option("--tls-certificate", arguments->tls.certificate,
                  "PEM file with the certificate to show on TCP (`seedbed tls init` makes one); with --tls-key")
      ->type_name("FILE");
  app->add_option("--tls-key", arguments->tls.key, "PEM file with its private key, readable by its owner only")
      ->type_name("FILE");
  app->add_option("--tls-client-ca", arguments->tls.ca,
                  "PEM file with authorities: TCP clients must show a certificate of theirs (mutual TLS)")
      ->type_name("FILE");
  app->add_flag("--insecure", arguments->insecure, "allow unencrypted TCP beyond this machine");
  app->add_flag("--workers-are-gone", arguments->workers_are_gone,
                "every worker of before is known to be dead: their runs are queued again at once");
  app->add_option("--log-level", arguments->log_level, "how much to say on standard error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error", "off"}))
      ->capture_default_str();
  app->add_option("--exit-with-parent", arguments->exit_with_parent,
                  "an inherited pipe: stop cleanly at its end of file")
      ->type_name("FD");
  app->add_option("--ready-fd", arguments->ready_fd,
                  "an inherited descriptor: one line of JSON is written there once the coordinator serves")
      ->type_name("FD");
}

void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int each : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, each);
  return signals;
}

spdlog::level::level_enum LevelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

LogLine LogToSpdlog() {
  return [](LogLevel level, const std::string& text) { spdlog::log(LevelOf(level), "{}", text); };
}

CoordinatorOptions OptionsOf(const Arguments& arguments) {
  CoordinatorOptions options;
  options.directory = arguments.data;
  options.settings.lease_duration = absl::Seconds(arguments.lease_seconds);
  options.settings.synchronize_every = options.settings.lease_duration / 3;
  if (arguments.synchronous == "normal") options.synchronous = StoreOptions::Synchronous::kNormal;
  if (arguments.journal == "delete") options.journal = StoreOptions::Journal::kDelete;
  options.workers_are_gone = arguments.workers_are_gone;
  options.most_checkpoint_bytes = static_cast<int64_t>(arguments.checkpoint_quota_gibibytes * (int64_t{1} << 30));
  options.least_free_bytes = arguments.least_free_mebibytes << 20;
  options.log = LogToSpdlog();
  return options;
}

// Others read these paths from directories of their own.
std::string Absolute(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error).lexically_normal();
  return error ? path : absolute.string();
}

// With TLS, `seedbed --data DIR` on this machine would need its files too: a socket in the data directory spares that.
// Not where others may enter the directory, or its name is too long for a socket.
void AddLocalSocket(const Arguments& arguments, ServerOptions* options) {
  const auto is_unix = [](const ListenAddress& address) { return address.is_unix; };
  ListenAddress local;
  local.is_unix = true;
  local.path = arguments.data + "/socket";
  if (options->tls.empty() || std::any_of(options->listen.begin(), options->listen.end(), is_unix)) return;
  if (EnsureDataDirectory(arguments.data).ok() && CheckSocketPath(local.path).ok()) options->listen.push_back(local);
}

absl::StatusOr<ServerOptions> ServerOptionsOf(const Arguments& arguments) {
  ServerOptions options;
  for (const std::string& text : arguments.listen) {
    SEEDBED_ASSIGN_OR_RETURN(ListenAddress address, ParseListenAddress(text));
    if (address.is_unix) address.path = Absolute(address.path);
    options.listen.push_back(address);
  }
  options.token_file = arguments.token_file;
  options.insecure = arguments.insecure;
  options.log = LogToSpdlog();
  SEEDBED_ASSIGN_OR_RETURN(options.tls, LoadTlsPems(arguments.tls, TlsSide::kServer, absl::Now()));
  return options;
}

// None without --http.
absl::StatusOr<std::optional<WebOptions>> WebOptionsOf(const Arguments& arguments, const ServerOptions& server) {
  if (arguments.http.empty() && arguments.http_hosts.empty()) return std::optional<WebOptions>();
  if (arguments.http.empty()) return absl::InvalidArgumentError("--http-host needs --http HOST:PORT");
  WebOptions options;
  SEEDBED_ASSIGN_OR_RETURN(options.listen, ParseListenAddress(arguments.http));
  options.hosts = arguments.http_hosts;
  options.token_file = arguments.token_file;
  options.insecure = arguments.insecure;
  options.tls = server.tls;
  options.log = LogToSpdlog();
  SEEDBED_RETURN_IF_ERROR(CheckWebOptions(options));
  return std::optional<WebOptions>(std::move(options));
}

bool SpeaksOpenly(const ServerOptions& options, const std::optional<WebOptions>& web) {
  const auto is_open = [](const ListenAddress& address) { return !address.is_unix && !address.is_loopback; };
  return options.tls.empty() &&
         (std::any_of(options.listen.begin(), options.listen.end(), is_open) || (web && is_open(web->listen)));
}

// Waits for a signal or the end of the parent's pipe; returns which, for the log.
std::string WaitForTheEnd(int exit_with_parent) {
  const sigset_t signals = StopSignals();
  const int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
  pollfd watched[2] = {{signal_fd, POLLIN, 0}, {exit_with_parent, POLLIN, 0}};
  while (true) {
    if (poll(watched, 2, -1) < 0 && errno != EINTR) return "poll failed";
    if ((watched[0].revents & POLLIN) != 0) {
      // Taken off the queue: it would end the process as soon as LimitTheStop lets signals through.
      signalfd_siginfo taken;
      if (read(signal_fd, &taken, sizeof(taken)) < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      return "told to stop";
    }
    if (watched[1].revents != 0) {
      char ignored[256];
      const ssize_t count = read(exit_with_parent, ignored, sizeof(ignored));
      if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) return "the parent is gone";
    }
  }
}

void TellReady(int descriptor, const ServerFile& file) {
  if (descriptor < 0) return;
  Json json = Json::object();
  json["addresses"] = file.addresses;
  json["pid"] = file.pid;
  json["token_file"] = file.token_file;
  json["tls"] = file.tls;
  json["http"] = file.http;
  const std::string line = json.dump() + "\n";
  if (write(descriptor, line.data(), line.size()) < 0) spdlog::warn("nobody reads the ready descriptor");
  close(descriptor);
}

// From here a second signal ends the process at once, and so does time: everything acknowledged is durable.
void LimitTheStop() {
  signal(SIGALRM, [](int) { _exit(0); });
  alarm(kStopLimitSeconds);
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

// What people see first, on standard output.
void Announce(const Arguments& arguments, const ServerFile& file, bool mutual) {
  std::cout << "seedbed-coordinator " << file.version << " serves " << arguments.data << " on "
            << absl::StrJoin(file.addresses, ", ");
  if (!file.token_file.empty()) {
    std::cout << (mutual     ? " (mutual TLS; "
                  : file.tls ? " (TLS; "
                             : " (")
              << "token for TCP: " << file.token_file << ")";
  }
  std::cout << std::endl;
  if (file.http.empty()) return;
  std::cout << "seedbed-coordinator: the dashboard is at " << file.http << "; `seedbed --data " << arguments.data
            << " dashboard` prints a link that opens it" << std::endl;
}

absl::Status Serve(const Arguments& arguments) {
  SEEDBED_ASSIGN_OR_RETURN(ServerOptions server_options, ServerOptionsOf(arguments));
  // Opening makes or migrates the database and raises its epoch: not for a server that is refused, or whose port is
  // taken. Nor is the directory made for one.
  SEEDBED_RETURN_IF_ERROR(CheckAddresses(server_options));
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<WebOptions> web_options, WebOptionsOf(arguments, server_options));
  AddLocalSocket(arguments, &server_options);
  SEEDBED_ASSIGN_OR_RETURN(const std::unique_ptr<Coordinator> coordinator, Coordinator::Open(OptionsOf(arguments)));
  SEEDBED_ASSIGN_OR_RETURN(const std::unique_ptr<Server> server, Server::Start(server_options, coordinator.get()));
  std::unique_ptr<WebServer> web;
  if (web_options) {
    SEEDBED_ASSIGN_OR_RETURN(web, WebServer::Start(*web_options, coordinator.get()));
  }
  const CoordinatorInfo info = coordinator->Info();
  ServerFile file;
  file.addresses = server->addresses();
  file.pid = getpid();
  file.version = info.version;
  file.database_id = info.database_id;
  file.token_file = web ? web->token_file() : server->token_file();
  file.tls = !server_options.tls.empty();
  if (web) file.http = web->url();
  SEEDBED_RETURN_IF_ERROR(WriteServerFile(arguments.data, file));
  Announce(arguments, file, !server_options.tls.ca.empty());
  if (SpeaksOpenly(server_options, web_options)) {
    // Whatever --log-level says.
    std::cerr << "seedbed-coordinator: warning: --insecure: tokens and all results travel unencrypted, and whoever "
                 "listens on the network can use them"
              << std::endl;
  }
  TellReady(arguments.ready_fd, file);

  const std::string why = WaitForTheEnd(arguments.exit_with_parent);
  spdlog::info("stopping: {}", why);
  LimitTheStop();
  RemoveServerFile(arguments.data);
  coordinator->PrepareToStop();
  if (web) web->Shutdown();
  server->Shutdown();
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app;
  Describe(&app, &arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    std::cerr << "seedbed-coordinator: " << error.what()
              << "\n  `seedbed-coordinator --help` says what can be given.\n";
    return kUsage;
  }
  // Before any thread: all of them leave these signals to WaitForTheEnd.
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  // A file beyond `ulimit -f` is an error like a full disk, and no reason to die.
  signal(SIGXFSZ, SIG_IGN);
  arguments.data = Absolute(arguments.data);
  if (!arguments.token_file.empty()) arguments.token_file = Absolute(arguments.token_file);
  umask(0077);
  RaiseFileLimit();
  // Its messages are for gRPC's developers; ours say what matters.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  spdlog::set_default_logger(spdlog::stderr_color_mt("coordinator"));
  spdlog::set_level(spdlog::level::from_str(arguments.log_level));
  const absl::Status status = Serve(arguments);
  if (status.ok()) return 0;
  std::cerr << "seedbed-coordinator: " << status.message() << std::endl;
  return kFailed;
}

}  // namespace
}  // namespace seedbed

int main(int argc, char** argv) {
  return seedbed::Main(argc, argv);
}
