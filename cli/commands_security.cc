// token, tls and dashboard: who may reach a coordinator. All work on files of the coordinator's machine, and call none.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "cli/commands.h"
#include "cli/dashboard_link.h"
#include "cli/printed_command.h"
#include "cli/render/table.h"
#include "cli/unreachable.h"
#include "common/base/status_macros.h"
#include "common/secrets/certificates.h"
#include "common/secrets/private_file.h"
#include "common/secrets/token_store.h"
#include "coordinator/server_file.h"
#include "coordinator/storage/data_directory.h"

namespace seedbed::cli {
namespace {

// --- token

struct TokenOptions {
  std::string action;
  std::string revoked;
  std::string name;
  std::string role;
  std::string output;
  bool force = false;
};

// Where tokens are kept. Not through a coordinator: whoever stole an admin's token could make others that outlive it.
absl::StatusOr<std::string> TokenDirectory(const GlobalOptions& options) {
  if (!options.server.empty()) {
    return absl::InvalidArgumentError(
        "tokens are made and revoked on the coordinator's machine: run this there, with --data and its data directory");
  }
  const std::string directory = DataDirectory(options);
  struct stat found {};
  if (stat(directory.c_str(), &found) != 0 || !S_ISDIR(found.st_mode)) {
    return absl::NotFoundError(absl::StrCat("there is no data directory ", directory,
                                            "; name the coordinator's with --data, or start the coordinator first"));
  }
  return directory;
}

absl::StatusOr<int> Create(Context& context, const TokenOptions& options, const std::string& directory) {
  if (options.name.empty() || options.role.empty()) {
    return absl::InvalidArgumentError(
        "token create needs --role (admin, submit, worker or read) and --name, which says whose it is");
  }
  SEEDBED_ASSIGN_OR_RETURN(const Role role, ParseRole(options.role));
  struct stat found {};
  if (!options.output.empty() && !options.force && lstat(options.output.c_str(), &found) == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("there is a file ", options.output,
                     " already, and it may hold a token that is kept nowhere else; no token was "
                     "made. Name another file, or write over this one with --force"));
  }
  SEEDBED_ASSIGN_OR_RETURN(const std::string token, CreateToken(directory, options.name, role, absl::Now()));
  if (!options.output.empty()) {
    const absl::Status written = WritePrivateFile(options.output, token + "\n");
    if (!written.ok()) {
      // A token that nobody has is of no use.
      RevokeToken(directory, options.name).IgnoreError();
      return written;
    }
  }
  if (context.options.json) {
    OrderedJson json = {{"name", options.name}, {"role", options.role}};
    if (options.output.empty()) {
      json["token"] = token;
    } else {
      json["file"] = options.output;
    }
    context.PrintJson(json);
    return kExitOk;
  }
  if (options.output.empty()) {
    context.Print(token + "\n");
    context.Note("this is the only time that the token is shown; keep it in a file of mode 0600 for --token-file");
  } else {
    context.Note(absl::StrCat("wrote ", options.output, ", for --token-file"));
  }
  return kExitOk;
}

absl::StatusOr<int> List(Context& context, const std::string& directory) {
  SEEDBED_ASSIGN_OR_RETURN(const std::vector<TokenEntry> entries, ListTokens(directory));
  if (context.options.json) {
    OrderedJson list = OrderedJson::array();
    for (const TokenEntry& entry : entries) {
      list.push_back({{"name", entry.name}, {"role", RoleName(entry.role)}, {"created_at", entry.created_at}});
    }
    context.PrintJson({{"tokens", std::move(list)}});
    return kExitOk;
  }
  if (entries.empty()) {
    context.Print("no tokens but the admin's in the file `token`\n");
    return kExitOk;
  }
  Table table({{"name", Column::Align::kLeft, true},
               {"role", Column::Align::kLeft, true},
               {"created", Column::Align::kLeft, true}});
  for (const TokenEntry& entry : entries) {
    table.Add({Cell(entry.name), Cell(RoleName(entry.role)), Cell(entry.created_at)});
  }
  context.Print(table.Render(context.style()));
  return kExitOk;
}

absl::StatusOr<int> Revoke(Context& context, const TokenOptions& options, const std::string& directory) {
  if (options.revoked.empty()) return absl::InvalidArgumentError("token revoke needs the name of a token");
  SEEDBED_RETURN_IF_ERROR(RevokeToken(directory, options.revoked));
  if (context.options.json) {
    context.PrintJson({{"name", options.revoked}, {"revoked", true}});
  } else {
    context.Note(absl::StrCat("revoked ", options.revoked, ": a running coordinator refuses it from now on"));
  }
  return kExitOk;
}

absl::StatusOr<int> TokenCommand(Context& context, const TokenOptions& options) {
  SEEDBED_ASSIGN_OR_RETURN(const std::string directory, TokenDirectory(context.options));
  if (options.action == "create") return Create(context, options, directory);
  if (options.action == "list") return List(context, directory);
  return Revoke(context, options, directory);
}

// --- tls

constexpr int kAuthorityDays = 3650;

struct TlsOptions {
  std::string action;
  std::string directory = "seedbed-tls";
  std::vector<std::string> hosts;
  int days = 1095;
  bool renew = false;
};

absl::Status MakePrivateDirectory(const std::string& path) {
  if (mkdir(path.c_str(), 0700) == 0) return absl::OkStatus();
  const int error = errno;
  struct stat found {};
  if (error != EEXIST || stat(path.c_str(), &found) != 0 || !S_ISDIR(found.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat("cannot make the directory ", path, ": ", std::strerror(error)));
  }
  if ((found.st_mode & 0022) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("others may write to ", path, ", and could put keys of theirs there; chmod 700 it"));
}

bool IsIpv6(const std::string& host) {
  return host.find(':') != std::string::npos;
}

absl::StatusOr<CertificatePair> Authority(const TlsOptions& options, absl::Time now) {
  const std::string certificate = options.directory + "/ca.crt";
  const std::string key = options.directory + "/ca.key";
  CertificatePair authority;
  if (options.renew) {
    SEEDBED_ASSIGN_OR_RETURN(authority.certificate, ReadPrivateFile(certificate));
    SEEDBED_ASSIGN_OR_RETURN(authority.key, ReadPrivateFile(key));
    return authority;
  }
  if (access(certificate.c_str(), F_OK) == 0 || access(key.c_str(), F_OK) == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("there is an authority in ", options.directory,
                     " already; --renew makes new certificates of it, and another --directory another authority"));
  }
  SEEDBED_ASSIGN_OR_RETURN(authority, MakeAuthority(now, kAuthorityDays));
  SEEDBED_RETURN_IF_ERROR(WritePrivateFile(key, authority.key));
  SEEDBED_RETURN_IF_ERROR(WritePrivateFile(certificate, authority.certificate));
  return authority;
}

absl::StatusOr<int> InitTls(Context& context, const TlsOptions& options) {
  if (options.hosts.empty()) {
    return absl::InvalidArgumentError(
        "tls init needs --host: each name or address by which workers and people reach the coordinator");
  }
  for (const std::string& host : options.hosts) SEEDBED_RETURN_IF_ERROR(CheckHost(host));
  const absl::Time now = absl::Now();
  const std::string& directory = options.directory;
  if (!options.renew) SEEDBED_RETURN_IF_ERROR(MakePrivateDirectory(directory));
  SEEDBED_ASSIGN_OR_RETURN(const CertificatePair authority, Authority(options, now));
  std::vector<std::string> hosts = options.hosts;
  for (const char* local : {"localhost", "127.0.0.1", "::1"}) {
    if (std::find(hosts.begin(), hosts.end(), local) == hosts.end()) hosts.emplace_back(local);
  }
  SEEDBED_ASSIGN_OR_RETURN(
      const CertificatePair server,
      MakeCertificate(authority, CertificateUse::kServer, "seedbed coordinator", hosts, now, options.days));
  SEEDBED_ASSIGN_OR_RETURN(const CertificatePair client, MakeCertificate(authority, CertificateUse::kClient,
                                                                         "seedbed client", {}, now, options.days));
  const std::vector<std::pair<std::string, const std::string*>> files = {{"server.key", &server.key},
                                                                         {"server.crt", &server.certificate},
                                                                         {"client.key", &client.key},
                                                                         {"client.crt", &client.certificate}};
  for (const auto& [name, content] : files) {
    SEEDBED_RETURN_IF_ERROR(WritePrivateFile(absl::StrCat(directory, "/", name), *content));
  }
  const std::string until = absl::FormatTime("%Y-%m-%d", now + absl::Hours(24) * options.days, absl::UTCTimeZone());
  if (context.options.json) {
    context.PrintJson({{"directory", directory}, {"hosts", hosts}, {"valid_until", until}});
    return kExitOk;
  }
  context.Print(absl::StrCat(
      "wrote ", directory, "/: ca.crt ca.key server.crt server.key client.crt client.key, for ",
      absl::StrJoin(hosts, " "), ", valid until ", until, "\n\nThe coordinator:\n  ",
      WithOptions("seedbed-coordinator", {{"--listen", "0.0.0.0:7070"},
                                          {"--tls-certificate", directory + "/server.crt"},
                                          {"--tls-key", directory + "/server.key"},
                                          {"--tls-client-ca", directory + "/ca.crt"}}),
      "\nA worker's token, and a worker (elsewhere: with copies of it and of ca.crt, client.crt and client.key):\n"
      "  seedbed token create --role worker --name workers --output worker.token\n  ",
      WithOptions("seedbed-worker", {{"--server", absl::StrCat(IsIpv6(hosts.front()) ? "[" : "", hosts.front(),
                                                               IsIpv6(hosts.front()) ? "]" : "", ":7070")},
                                     {"--token-file", "worker.token"},
                                     {"--tls-ca", directory + "/ca.crt"},
                                     {"--tls-certificate", directory + "/client.crt"},
                                     {"--tls-key", directory + "/client.key"}}),
      "\nca.key makes further certificates: it belongs on no other machine\n"));
  return kExitOk;
}

// --- dashboard

std::string WithHttp(const std::string& directory) {
  const std::vector<std::pair<std::string, std::string>> options = {{"--data", directory},
                                                                    {"--http", "127.0.0.1:8080"}};
  return absl::StrCat("`", WithOptions("seedbed run FILE", options), "`, which trains too, or `",
                      WithOptions("seedbed-coordinator", options), "`");
}

absl::StatusOr<int> Dashboard(Context& context) {
  if (!context.options.server.empty()) {
    return absl::InvalidArgumentError(
        "links are made on the coordinator's machine: run this there, with --data and its data directory; elsewhere, "
        "open the dashboard's address and give a token");
  }
  const std::string directory = DataDirectory(context.options);
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<ServerFile> file, ReadServerFile(directory));
  if (!file || DataLockHolder(directory) == 0) {
    absl::Status nobody = absl::UnavailableError(absl::StrCat("no coordinator runs on ", directory, "; start one with ", WithHttp(directory)));
    nobody.SetPayload(kNobodyAnswers, absl::Cord());
    return nobody;
  }
  if (file->http.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the coordinator on ", directory,
                     " serves no dashboard; stop it, and start it with --http: ", WithHttp(directory)));
  }
  SEEDBED_ASSIGN_OR_RETURN(const std::string link, DashboardLink(*file));
  if (context.options.json) {
    context.PrintJson({{"url", file->http}, {"link", link}});
    return kExitOk;
  }
  context.Print(link + "\n");
  context.Note("the link opens the dashboard once, within five minutes, in one browser");
  return kExitOk;
}

}  // namespace

void AddSecurityCommands(Commands& commands) {
  const auto token_options = std::make_shared<TokenOptions>();
  CLI::App* token = commands.Add("token", "Make, list and revoke tokens, on the coordinator's machine",
                                 "seedbed --data /srv/sweeps token create --role submit --name ann --output ann.token\n"
                                 "seedbed --data /srv/sweeps token create --role worker --name nodes > nodes.token\n"
                                 "seedbed --data /srv/sweeps token list\n"
                                 "seedbed --data /srv/sweeps token revoke ann");
  token->add_option("action", token_options->action, "create, list or revoke")
      ->required()
      ->check(CLI::IsMember({"create", "list", "revoke"}))
      ->type_name("ACTION");
  token->add_option("token", token_options->revoked, "revoke: the token's name")->type_name("NAME");
  token
      ->add_option("--role", token_options->role,
                   "create: admin (everything), submit (submits and controls sweeps), worker (trains), read (looks)")
      ->check(CLI::IsMember({"admin", "submit", "worker", "read"}));
  token->add_option("--name", token_options->name, "create: what people call it");
  token->add_option("-o,--output", token_options->output, "create: file for the token (default: standard output)")
      ->type_name("FILE");
  token->add_flag("--force", token_options->force, "create: write over a file that is there");
  commands.OnRun(token, [token_options](Context& context) { return TokenCommand(context, *token_options); });

  const auto tls_options = std::make_shared<TlsOptions>();
  CLI::App* tls = commands.Add("tls", "Make the certificates of a small cluster",
                               "seedbed tls init --host head.cluster --host 10.0.0.1\n"
                               "seedbed tls init --directory /etc/seedbed/tls --host head --renew");
  tls->add_option("action", tls_options->action, "init")
      ->required()
      ->check(CLI::IsMember({"init"}))
      ->type_name("ACTION");
  tls->add_option("--directory", tls_options->directory, "Where the files go; made if it does not exist")
      ->capture_default_str()
      ->type_name("DIR");
  tls->add_option("--host", tls_options->hosts,
                  "A name or address of the coordinator's machine; may be given several times")
      ->allow_extra_args(false);
  tls->add_option("--days", tls_options->days, "How long the certificates are valid")
      ->check(CLI::Range(1, 3650))
      ->capture_default_str();
  tls->add_flag("--renew", tls_options->renew, "New certificates of the authority that is in the directory");
  commands.OnRun(tls, [tls_options](Context& context) { return InitTls(context, *tls_options); });

  CLI::App* dashboard = commands.Add("dashboard", "Print a link that opens the dashboard, on the coordinator's machine",
                                     "seedbed --data /srv/sweeps dashboard");
  commands.OnRun(dashboard, [](Context& context) { return Dashboard(context); });
}

}  // namespace seedbed::cli
