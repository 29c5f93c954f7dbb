#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/client.h"
#include "cli/embedded/embedded_options.h"
#include "cli/output.h"
#include "cli/render/proto_json.h"
#include "cli/render/style.h"
#include "common/secrets/pem_files.h"

namespace seedbed::cli {

// Exit codes, part of the interface (docs/cli.md).
constexpr int kExitOk = 0;
constexpr int kExitFailed = 1;       // the command could not be done, or a run failed (run, wait)
constexpr int kExitUsage = 2;        // wrong words on the command line, or mistakes in a sweep file
constexpr int kExitNotFound = 3;     // no such sweep, run, worker or database
constexpr int kExitUnreachable = 4;  // no coordinator answers there, or it refuses the token
constexpr int kExitInterrupted = 130;

// Options that every command takes.
struct GlobalOptions {
  std::string server;  // HOST:PORT or unix:/path; empty: the data directory
  std::string data;    // empty: ./seedbed-data
  std::string token_file;
  TlsFiles tls;  // for TCP; empty: no TLS
  bool json = false;
  bool no_color = false;
};
std::string DataDirectory(const GlobalOptions& options);

// A way to the coordinator. `server` keeps an in-process one alive and is destroyed after the client.
struct Connection {
  std::shared_ptr<void> server;
  std::unique_ptr<Client> client;
  bool offline = false;  // in-process: nothing will train while this command runs
  // Starts a worker for this coordinator from here, as a line to paste; empty if offline.
  std::string worker_command;
};
// What a command wants of a data directory on which no coordinator is running.
enum class Access {
  kRead,    // opens it without its lock
  kChange,  // takes its lock
  kCreate,  // likewise, and makes it if it does not exist; for the others that is NOT_FOUND
};
using Connector = std::function<absl::StatusOr<Connection>(const GlobalOptions& options, Access access)>;

class Context;

// The process around the commands, so that tests can put another in its place.
struct Environment {
  Output* out = nullptr;
  Output* err = nullptr;
  Style style;                             // of `out`; its width is 0 if that is no terminal
  bool may_ask = false;                    // somebody sits at a terminal
  std::function<std::string()> read_line;  // an answer, without its line end
  std::function<int()> current_width;      // of `out` now, for what is redrawn; 0: no terminal
  Connector connect;
  std::function<absl::StatusOr<int>(Context&, const EmbeddedOptions&)> run;  // does `seedbed run`
};

// What one command has at hand. Not thread-safe.
class Context {
 public:
  explicit Context(Environment& environment) : environment_(environment) {}

  GlobalOptions options;

  // The coordinator; connects at the first call, whose `access` holds for all. The pointer lives as long as this.
  absl::StatusOr<Client*> client(Access access = Access::kRead);
  bool offline() const { return connection_.offline; }
  const std::string& worker_command() const { return connection_.worker_command; }
  // Lets go of the coordinator, and of DATA/lock where it was opened in-process.
  void Disconnect() { connection_ = Connection(); }

  Output& out() { return *environment_.out; }
  Environment& environment() { return environment_; }
  Style style() const;  // with no colour where it was switched off or --json was given

  // "seedbed WORDS" with the options that say which coordinator is meant, as a line to paste.
  std::string Command(const std::string& words) const;

  void Print(const std::string& text) { out().Write(text); }
  void PrintJson(const OrderedJson& json);
  // One line on stderr for people, not part of the output.
  void Note(const std::string& text);
  // True if the answer to "… [y/N]" is yes. FAILED_PRECONDITION if nobody can be asked.
  absl::Status Confirm(const std::string& question, bool yes);

 private:
  Environment& environment_;
  Connection connection_;
};

int ExitCodeOf(const absl::Status& status);

// "3-7,9" as [3, 4, 5, 6, 7, 9]; INVALID_ARGUMENT for anything else, and for over a million ids.
absl::StatusOr<std::vector<int64_t>> ParseRunIds(const std::string& text);
// True for text made of digits, commas and dashes only: run ids rather than a sweep's name.
bool LooksLikeRunIds(const std::string& text);

}  // namespace seedbed::cli
