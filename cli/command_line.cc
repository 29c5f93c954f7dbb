#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/commands.h"
#include "cli/commands_care.h"
#include "cli/render/text_width.h"
#include "cli/sweep_file.h"
#include "common/base/text.h"

namespace seedbed::cli {
namespace {

void PrintError(const std::string& message, Environment& environment) {
  environment.out->Flush();
  bool first = true;
  for (const absl::string_view line : absl::StrSplit(message, '\n')) {
    if (line.empty()) continue;
    environment.err->Write(first ? "seedbed: " : "  ");
    environment.err->Write(Printable(std::string(line)) + "\n");
    first = false;
  }
  environment.err->Flush();
}

std::vector<std::string> CommandNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  return names;
}

// Long options of `command` and of all commands, with their dashes.
std::vector<std::string> OptionNames(const CLI::App& app, const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* one : {&app, &command}) {
    for (const CLI::Option* option : one->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return names;
}

// What is wrong with the words that were given, with the nearest known one.
std::string ExplainUsage(CLI::App& app, const std::vector<std::string>& arguments, const CLI::ParseError& error) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  if (chosen.empty()) {
    bool is_value = false;  // of the option before it
    for (const std::string& word : arguments) {
      const bool skipped = is_value || word.empty() || word[0] == '-';
      is_value = !is_value && (word == "--server" || word == "--data" || word == "--token-file" || word == "--tls-ca" ||
                               word == "--tls-certificate" || word == "--tls-key");
      if (skipped) continue;
      std::string message = absl::StrCat("there is no command \"", word, "\".");
      if (const std::optional<std::string> near = NearestWord(word, CommandNames(app))) {
        absl::StrAppend(&message, " Did you mean `seedbed ", *near, "`?");
      }
      return absl::StrCat(message, "\n`seedbed --help` lists the commands.");
    }
  }
  const CLI::App& command = chosen.empty() ? app : *chosen.front();
  std::string message = error.what();
  // "run is required" would name what only the program knows by that name.
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_positional() || message != absl::StrCat(option->get_name(), " is required")) continue;
    message = absl::StrCat("`seedbed ", command.get_name(), "` needs ", option->get_type_name(), ": ",
                           option->get_description());
  }
  for (const std::string& word : arguments) {
    const std::string name = word.substr(0, word.find('='));
    if (name.rfind("--", 0) != 0 || name.size() < 3) continue;
    const std::vector<std::string> known = OptionNames(app, command);
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    message = absl::StrCat("`seedbed ", command.get_name(), "` has no option ", name, ".");
    if (const std::optional<std::string> near = NearestWord(name, known)) {
      absl::StrAppend(&message, " Did you mean ", *near, "?");
    }
    break;
  }
  if (message.empty()) message = "the command line could not be understood";
  const std::string help = chosen.empty() ? "seedbed --help" : absl::StrCat("seedbed ", command.get_name(), " --help");
  return absl::StrCat(message, "\n`", help, "` says what can be given.");
}

void AddGlobalOptions(CLI::App& app, GlobalOptions& options) {
  app.add_option("--server", options.server, "Coordinator to talk to: HOST:PORT or unix:/path")
      ->envname("SEEDBED_SERVER")
      ->check(Address(/*least_port=*/1, /*or_socket=*/true))
      ->type_name("ADDRESS");
  app.add_option(
         "--data", options.data,
         "Data directory to work on (default ./seedbed-data); goes before SEEDBED_SERVER, but not before --server")
      ->type_name("DIR");
  app.add_option("--token-file", options.token_file,
                 "File with the coordinator's token (default: SEEDBED_TOKEN, or the data directory's own)")
      ->type_name("FILE");
  app.add_option("--tls-ca", options.tls.ca, "PEM file with the authority of the coordinator's certificate: use TLS")
      ->envname("SEEDBED_TLS_CA")
      ->type_name("FILE");
  app.add_option("--tls-certificate", options.tls.certificate, "PEM file with your certificate, for mutual TLS")
      ->envname("SEEDBED_TLS_CERTIFICATE")
      ->type_name("FILE");
  app.add_option("--tls-key", options.tls.key, "PEM file with its private key")
      ->envname("SEEDBED_TLS_KEY")
      ->type_name("FILE");
  app.add_flag("--json", options.json, "Print JSON for programs");
  app.add_flag("--no-color", options.no_color, "No colour, as with NO_COLOR set");
}

constexpr char kOptionsOfAll[] =
    "\nOptions of every command (`seedbed --help` explains them): --server, --data, --token-file, --tls-ca,\n"
    "--tls-certificate, --tls-key, --json, --no-color\n";

int DoChosen(Commands& commands, Context& context) {
  const absl::StatusOr<int> result = commands.chosen()(context);
  Environment& environment = context.environment();
  environment.out->Flush();
  if (!result.ok()) {
    if (environment.out->closed()) return kExitOk;
    const std::string message(result.status().message());
    if (IsSweepFileMistake(result.status())) {
      // As compilers do it, "file:line:column: …" at the start of a line, so that editors can jump there.
      environment.err->Write(message + (message.empty() || message.back() != '\n' ? "\n" : ""));
      PrintError("the sweep file has mistakes; nothing was created", environment);
    } else {
      PrintError(message, environment);
    }
    return ExitCodeOf(result.status());
  }
  if (!environment.out->status().ok()) {
    PrintError(std::string(environment.out->status().message()), environment);
    return kExitFailed;
  }
  return *result;
}

}  // namespace

CLI::Validator WholeNumber(int64_t least) {
  return CLI::Validator(
      [least](std::string& word) {
        int64_t number = 0;
        if (absl::SimpleAtoi(word, &number) && number >= least) return std::string();
        return absl::StrCat("expected a whole number of at least ", least, ", got ", word);
      },
      "");
}

CLI::Validator NumberFrom(double least) {
  return CLI::Validator(
      [least](std::string& word) {
        double number = 0;
        if (absl::SimpleAtod(word, &number) && std::isfinite(number) && number >= least) return std::string();
        return absl::StrCat("expected a number of at least ", least, ", got ", word);
      },
      "");
}

CLI::Validator Address(int least_port, bool or_socket) {
  return CLI::Validator(
      [least_port, or_socket](std::string& word) {
        if (or_socket && word.rfind("unix:", 0) == 0 && word.size() > 5) return std::string();
        const size_t colon = word.rfind(':');
        const std::string host = word.substr(0, colon == std::string::npos ? 0 : colon);
        const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
        int port = 0;
        if (!host.empty() && (bracketed || host.find(':') == std::string::npos) &&
            absl::SimpleAtoi(word.substr(colon + 1), &port) && port >= least_port && port <= 65535) {
          return std::string();
        }
        return absl::StrCat("expected HOST:PORT (port ", least_port, " to 65535)", or_socket ? " or unix:/path" : "",
                            ", got ", word);
      },
      "");
}

CLI::App* Commands::Add(const std::string& name, const std::string& description, const std::string& examples) {
  CLI::App* command = app_.add_subcommand(name, description);
  if (!examples.empty()) {
    const std::vector<std::string> lines = absl::StrSplit(examples, '\n');
    command->footer("Examples:\n  " + absl::StrJoin(lines, "\n  "));
  }
  command->fallthrough();  // --json and the other global options may stand after the command too
  return command;
}

void Commands::OnRun(CLI::App* command, Action action) {
  command->callback([this, action = std::move(action)] { chosen_ = action; });
}

int RunCommandLine(const std::vector<std::string>& arguments, Environment& environment) {
  CLI::App app("Runs experiment sweeps in which every configuration is repeated over several seeds.", "seedbed");
  app.set_help_flag("-h,--help", "Print this help");
  app.set_version_flag("--version", VersionLine(), "Print the version");
  app.footer(
      "A first sweep:\n  seedbed plan studies/quickstart.yaml\n  seedbed run studies/quickstart.yaml\n"
      "Each command has its own help: seedbed run --help");
  app.require_subcommand(0, 1);
  Context context(environment);
  AddGlobalOptions(app, context.options);
  Commands commands(app);
  AddSweepFileCommands(commands);
  AddRunCommand(commands);
  AddProgressCommands(commands);
  AddListCommands(commands);
  AddShowCommands(commands);
  AddControlCommands(commands);
  AddDataCommands(commands);
  AddCheckpointCommands(commands);
  AddCareCommands(commands);
  AddVerifyCommand(commands);
  AddSecurityCommands(commands);
  AddProgramCommands(commands);

  // CLI11 reports by exceptions; none leaves this function. It takes the words in reverse order.
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    const std::vector<CLI::App*> chosen = app.get_subcommands();
    environment.out->Write(chosen.empty() ? app.help() : chosen.front()->help("seedbed") + kOptionsOfAll);
    environment.out->Flush();
    return kExitOk;
  } catch (const CLI::CallForVersion&) {
    environment.out->Write(VersionLine() + "\n");
    environment.out->Flush();
    return kExitOk;
  } catch (const CLI::ParseError& error) {
    PrintError(ExplainUsage(app, arguments, error), environment);
    return kExitUsage;
  }
  if (!commands.chosen()) {
    environment.out->Write(app.help());
    environment.out->Flush();
    return arguments.empty() ? kExitOk : kExitUsage;
  }
  // A directory named on the command line is meant more than a server named in the environment.
  const bool server_given = std::any_of(arguments.begin(), arguments.end(), [](const std::string& word) {
    return word == "--server" || word.rfind("--server=", 0) == 0;
  });
  if (!context.options.data.empty() && !server_given) context.options.server.clear();
  return DoChosen(commands, context);
}

}  // namespace seedbed::cli
