#include "worker/engine/train_command.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <iostream>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/atomic_file.h"
#include "common/base/status_macros.h"
#include "common/base/text.h"
#include "common/schema/modular.h"
#include "common/schema/run_specification.h"
#include "worker/engine/numerics.h"
#include "worker/engine/pack.h"

namespace seedbed::engine {

const char kTrainUsage[] =
    "  seedbed-engine train [--set KEY=VALUE]... [--seed N] [--steps N] [--seconds S] [--log-every N] "
    "[--evaluate-every N]\n"
    "                       [--analyze-every N] [--stop JSON]... [--checkpoint FILE] [--checkpoint-every SECONDS] "
    "[--resume FILE]\n"
    "  seedbed-engine train --specification FILE [--checkpoint FILE] [--checkpoint-every SECONDS] [--resume FILE]\n"
    "      train one run and print JSON lines. KEY is a parameter of trainer `modular`; JSON is a stop rule or an "
    "array of\n"
    "      them, e.g. '{\"metric\": \"test_accuracy\", \"at_least\": 0.99, \"held_for\": 3}'. --specification reads "
    "the\n"
    "      whole run as JSON, from standard input if FILE is -. --checkpoint writes FILE every 60 seconds (or as "
    "given), at\n"
    "      the end and when interrupted; --resume goes on from such a file.\n";

namespace {

constexpr int64_t kDefaultSteps = 10000;
constexpr int kInterruptedStatus = 130;  // 128 + SIGINT, as shells have it

std::atomic<bool> was_interrupted{false};

void NoteInterrupt(int) {
  was_interrupted = true;
}

absl::Status SetParameter(const std::string& assignment, Json* parameters) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    return absl::InvalidArgumentError(absl::StrCat("--set ", assignment, ": expected KEY=VALUE"));
  }
  const std::string key = assignment.substr(0, equals);
  if (parameters->contains(key)) return absl::InvalidArgumentError(absl::StrCat("--set ", key, " is given twice"));
  (*parameters)[key] = assignment.substr(equals + 1);
  return absl::OkStatus();
}

absl::Status AddStopRules(const std::string& text, std::vector<StopRule>* rules) {
  SEEDBED_ASSIGN_OR_RETURN(const Json json, ParseJson(text, "--stop"));
  for (const Json& rule : json.is_array() ? json : Json::array({json})) {
    SEEDBED_ASSIGN_OR_RETURN(StopRule read, StopRuleFromJson(rule));
    rules->push_back(std::move(read));
  }
  return absl::OkStatus();
}

absl::Status SetInteger(const std::string& option, const std::string& text, int64_t least, int64_t* value) {
  if (absl::SimpleAtoi(text, value) && *value >= least) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(option, " ", text, ": expected an integer of at least ", least));
}

absl::Status SetSeconds(const std::string& option, const std::string& text, std::optional<double>* seconds) {
  double value = 0;
  if (!absl::SimpleAtod(text, &value) || !(value > 0)) {
    return absl::InvalidArgumentError(absl::StrCat(option, " ", text, ": expected a number above 0"));
  }
  *seconds = value;
  return absl::OkStatus();
}

absl::StatusOr<RunSpecification> ReadSpecification(const std::string& file) {
  std::ostringstream text;
  if (file == "-") {
    text << std::cin.rdbuf();
  } else {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) return absl::NotFoundError(absl::StrCat("--specification ", file, ": cannot read this file"));
    text << stream.rdbuf();
  }
  SEEDBED_ASSIGN_OR_RETURN(const Json json, ParseJson(text.str(), absl::StrCat("--specification ", file)));
  return RunSpecificationFromJson(json);
}

struct TrainArguments {
  RunRequest request;
  std::optional<std::string> specification_file;
  std::optional<double> checkpoint_every;  // seconds
  bool describes_run = false;              // by an option other than --specification
};

const std::vector<std::string>& Options() {
  static const auto* const options = new std::vector<std::string>{
      "--set",           "--seed", "--steps",         "--seconds",    "--log-every",        "--evaluate-every",
      "--analyze-every", "--stop", "--specification", "--checkpoint", "--checkpoint-every", "--resume"};
  return *options;
}

absl::Status CheckOption(const std::string& option) {
  if (std::find(Options().begin(), Options().end(), option) != Options().end()) return absl::OkStatus();
  const auto nearest = NearestWord(option, Options());
  return absl::InvalidArgumentError(
      absl::StrCat("there is no option ", option, nearest ? absl::StrCat("; did you mean ", *nearest, "?") : ""));
}

// `option` is one of Options().
absl::Status Apply(const std::string& option, const std::string& value, TrainArguments* arguments) {
  RunRequest& request = arguments->request;
  if (option == "--checkpoint-every") return SetSeconds(option, value, &arguments->checkpoint_every);
  if (option == "--checkpoint" || option == "--resume" || option == "--specification") {
    if (value.empty()) return absl::InvalidArgumentError(absl::StrCat(option, " needs a file"));
    if (option == "--checkpoint") request.checkpoint_file = value;
    if (option == "--resume") request.resume = value;
    if (option == "--specification") arguments->specification_file = value;
    return absl::OkStatus();
  }
  RunSpecification& run = request.specification;
  arguments->describes_run = true;
  if (option == "--set") return SetParameter(value, &run.parameters);
  if (option == "--seed") return SetInteger(option, value, 0, &run.seed);
  if (option == "--steps") return SetInteger(option, value, 0, &run.shared.budget.steps);
  if (option == "--seconds") return SetSeconds(option, value, &run.shared.budget.seconds);
  if (option == "--log-every") return SetInteger(option, value, 1, &run.shared.metrics.log_every);
  if (option == "--evaluate-every") return SetInteger(option, value, 1, &run.shared.metrics.evaluate_every);
  if (option == "--analyze-every") return SetInteger(option, value, 0, &run.shared.metrics.analyze_every);
  return AddStopRules(value, &run.shared.stop);
}

absl::StatusOr<TrainArguments> ReadArguments(const std::vector<std::string>& words) {
  TrainArguments arguments;
  RunSpecification& run = arguments.request.specification;
  arguments.request.run = 1;
  run.shared.trainer = ModularTrainerSchema().name;
  run.shared.budget.steps = kDefaultSteps;
  run.parameters = Json::object();
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t equals = words[i].find('=');
    const std::string option = words[i].substr(0, equals);
    SEEDBED_RETURN_IF_ERROR(CheckOption(option));
    std::string value;
    if (equals != std::string::npos) {
      value = words[i].substr(equals + 1);
    } else if (i + 1 < words.size()) {
      value = words[++i];
    } else {
      return absl::InvalidArgumentError(absl::StrCat(option, " needs a value"));
    }
    SEEDBED_RETURN_IF_ERROR(Apply(option, value, &arguments));
  }
  if (arguments.specification_file && arguments.describes_run) {
    return absl::InvalidArgumentError("--specification says all of the run: give none of its options beside it");
  }
  if (arguments.checkpoint_every && arguments.request.checkpoint_file.empty()) {
    return absl::InvalidArgumentError("--checkpoint-every goes with --checkpoint FILE");
  }
  if (arguments.specification_file) {
    SEEDBED_ASSIGN_OR_RETURN(run, ReadSpecification(*arguments.specification_file));
  }
  SEEDBED_ASSIGN_OR_RETURN(run.parameters, ResolveParameters(ModularTrainerSchema(), run.parameters));
  if (const std::string& file = arguments.request.checkpoint_file; !file.empty()) {
    // Before anything is trained: whether it can be written.
    SEEDBED_RETURN_IF_ERROR(AtomicFile::Create(file).status());
    arguments.request.final_checkpoint = true;
  }
  return arguments;
}

// False if nobody reads standard output any more.
bool PrintLine(std::string line) {
  line.push_back('\n');
  size_t written = 0;
  while (written < line.size()) {
    const ssize_t count = write(STDOUT_FILENO, line.data() + written, line.size() - written);
    if (count < 0 && errno != EINTR) return false;
    if (count > 0) written += static_cast<size_t>(count);
  }
  return true;
}

}  // namespace

int RunTrainCommand(const std::vector<std::string>& words) {
  absl::StatusOr<TrainArguments> arguments = ReadArguments(words);
  if (!arguments.ok()) {
    std::cerr << "seedbed-engine train: " << arguments.status().message() << std::endl;
    return 2;
  }
  struct sigaction action {};
  action.sa_handler = NoteInterrupt;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);

  SetUpTrainingThread();
  bool has_reader = true;
  std::string last;
  int64_t checkpoint_step = -1;  // of the last one that was written
  const bool writes_checkpoints = arguments->request.final_checkpoint;
  const int64_t run = arguments->request.run;
  PackSettings settings;
  settings.numerics = NumericsFingerprint();
  Pack pack(settings, [&](std::string line) {
    has_reader = has_reader && PrintLine(line);
    const Json message = Json::parse(line);
    if (message["type"] == "checkpoint") checkpoint_step = message["step"].get<int64_t>();
    last = std::move(line);
  });
  pack.Start(std::move(arguments->request));
  using SteadyClock = std::chrono::steady_clock;
  const std::chrono::duration<double> between_checkpoints(arguments->checkpoint_every.value_or(60));
  SteadyClock::time_point last_checkpoint = SteadyClock::now();
  while (!pack.is_empty()) {
    if (was_interrupted || !has_reader) pack.StopAll(writes_checkpoints);
    if (writes_checkpoints && SteadyClock::now() - last_checkpoint >= between_checkpoints) {
      last_checkpoint = SteadyClock::now();
      pack.Checkpoint(run);
    }
    pack.Advance();
  }
  if (!has_reader) return 0;
  const Json message = Json::parse(last);
  if (message["type"] == "finished") {
    // That it could not be written was said when it failed.
    return !writes_checkpoints || checkpoint_step == message["last_step"] ? 0 : 1;
  }
  return message["type"] == "stopped" ? kInterruptedStatus : 1;
}

}  // namespace seedbed::engine
