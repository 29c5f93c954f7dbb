#include "worker/engine/train_command.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <iostream>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/text.h"
#include "common/schema/modular.h"
#include "common/schema/run_specification.h"
#include "worker/engine/numerics.h"
#include "worker/engine/training.h"

namespace seedbed::engine {

const char kTrainUsage[] =
    "  seedbed-engine train [--set KEY=VALUE]... [--seed N] [--steps N] [--seconds S] [--log-every N] "
    "[--evaluate-every N]\n"
    "                       [--stop JSON]...\n"
    "      train one run and print JSON lines. KEY is a parameter of trainer `modular`; JSON is a stop rule or an "
    "array of\n"
    "      them, e.g. '{\"metric\": \"test_accuracy\", \"at_least\": 0.99, \"held_for\": 3}'\n";

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

absl::Status SetSeconds(const std::string& text, std::optional<double>* seconds) {
  double value = 0;
  if (!absl::SimpleAtod(text, &value) || !(value > 0)) {
    return absl::InvalidArgumentError(absl::StrCat("--seconds ", text, ": expected a number above 0"));
  }
  *seconds = value;
  return absl::OkStatus();
}

const std::vector<std::string>& Options() {
  static const auto* const options = new std::vector<std::string>{
      "--set", "--seed", "--steps", "--seconds", "--log-every", "--evaluate-every", "--stop"};
  return *options;
}

absl::Status CheckOption(const std::string& option) {
  if (std::find(Options().begin(), Options().end(), option) != Options().end()) return absl::OkStatus();
  const auto nearest = NearestWord(option, Options());
  return absl::InvalidArgumentError(
      absl::StrCat("there is no option ", option, nearest ? absl::StrCat("; did you mean ", *nearest, "?") : ""));
}

// `option` is one of Options().
absl::Status Apply(const std::string& option, const std::string& value, RunSpecification* run) {
  if (option == "--set") return SetParameter(value, &run->parameters);
  if (option == "--seed") return SetInteger(option, value, 0, &run->seed);
  if (option == "--steps") return SetInteger(option, value, 0, &run->shared.budget.steps);
  if (option == "--seconds") return SetSeconds(value, &run->shared.budget.seconds);
  if (option == "--log-every") return SetInteger(option, value, 1, &run->shared.metrics.log_every);
  if (option == "--evaluate-every") return SetInteger(option, value, 1, &run->shared.metrics.evaluate_every);
  return AddStopRules(value, &run->shared.stop);
}

absl::StatusOr<RunSpecification> ReadArguments(const std::vector<std::string>& arguments) {
  RunSpecification run;
  run.shared.trainer = ModularTrainerSchema().name;
  run.shared.budget.steps = kDefaultSteps;
  run.parameters = Json::object();
  for (size_t i = 0; i < arguments.size(); ++i) {
    const size_t equals = arguments[i].find('=');
    const std::string option = arguments[i].substr(0, equals);
    SEEDBED_RETURN_IF_ERROR(CheckOption(option));
    std::string value;
    if (equals != std::string::npos) {
      value = arguments[i].substr(equals + 1);
    } else if (i + 1 < arguments.size()) {
      value = arguments[++i];
    } else {
      return absl::InvalidArgumentError(absl::StrCat(option, " needs a value"));
    }
    SEEDBED_RETURN_IF_ERROR(Apply(option, value, &run));
  }
  SEEDBED_ASSIGN_OR_RETURN(run.parameters, ResolveParameters(ModularTrainerSchema(), run.parameters));
  return run;
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

int RunTrainCommand(const std::vector<std::string>& arguments) {
  const absl::StatusOr<RunSpecification> run = ReadArguments(arguments);
  if (!run.ok()) {
    std::cerr << "seedbed-engine train: " << run.status().message() << std::endl;
    return 2;
  }
  struct sigaction action {};
  action.sa_handler = NoteInterrupt;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);

  SetUpTrainingThread();
  bool has_reader = true;
  const auto send = [&](std::string line) { has_reader = has_reader && PrintLine(std::move(line)); };
  const auto wants_stop = [&] { return was_interrupted.load() || !has_reader; };
  const std::string last = TrainRun(1, *run, send, wants_stop);
  send(last);
  if (!has_reader) return 0;
  const Json message = Json::parse(last);
  if (message["type"] == "finished") return 0;
  return message["type"] == "stopped" ? kInterruptedStatus : 1;
}

}  // namespace seedbed::engine
