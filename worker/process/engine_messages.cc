#include "worker/process/engine_messages.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"
#include "common/base/text.h"
#include "common/schema/offer_limits.h"

namespace seedbed {
namespace {

absl::Status Wrong(const std::string& type, const char* key, const std::string& expected) {
  return absl::InvalidArgumentError(absl::StrCat("message \"", type, "\": key \"", key, "\": expected ", expected));
}

// Reads typed keys of one message. The first error stays in status(); after it the values read mean nothing.
class Reader {
 public:
  Reader(const Json& message, std::string type) : message_(message), type_(std::move(type)) {}

  const absl::Status& status() const { return status_; }

  const Json* Find(const char* key) const {
    const auto found = message_.find(key);
    return found == message_.end() ? nullptr : &*found;
  }

  void Fail(const char* key, const std::string& expected) {
    if (status_.ok()) status_ = Wrong(type_, key, expected);
  }

  int64_t Integer(const char* key, int64_t minimum, int64_t maximum) {
    const Json* value = Find(key);
    // An unsigned number beyond int64 would wrap.
    const bool fits = value != nullptr && value->is_number_integer() &&
                      !(value->is_number_unsigned() && value->get<uint64_t>() > uint64_t{INT64_MAX});
    if (!fits || value->get<int64_t>() < minimum || value->get<int64_t>() > maximum) {
      Fail(key, absl::StrCat("an integer from ", minimum, " to ", maximum));
      return minimum;
    }
    return value->get<int64_t>();
  }

  AttemptId Run() { return AttemptId(Integer("run", 1, INT64_MAX)); }
  int64_t Step(const char* key) { return Integer(key, 0, INT64_MAX); }

  std::string String(const char* key, bool required = true) {
    const Json* value = Find(key);
    if (value == nullptr && !required) return "";
    if (value == nullptr || !value->is_string()) {
      Fail(key, "a string");
      return "";
    }
    return value->get<std::string>();
  }

  std::vector<std::string> Strings(const char* key) {
    std::vector<std::string> strings;
    const Json* value = Find(key);
    bool good = value != nullptr && value->is_array();
    if (good) {
      for (const Json& element : *value) {
        good = good && element.is_string();
        if (good) strings.push_back(element.get<std::string>());
      }
    }
    if (!good) Fail(key, "a list of strings");
    return strings;
  }

  Json Object(const char* key) {
    const Json* value = Find(key);
    if (value == nullptr || !value->is_object()) {
      Fail(key, "an object");
      return Json::object();
    }
    return *value;
  }

 private:
  const Json& message_;
  std::string type_;
  absl::Status status_;
};

template <typename T>
absl::StatusOr<EngineMessage> Checked(const Reader& reader, T message) {
  if (!reader.status().ok()) return reader.status();
  return EngineMessage(std::move(message));
}

absl::StatusOr<EngineMessage> ReadReady(Reader reader) {
  EngineReady ready;
  const int64_t protocol = reader.Integer("protocol", 1, INT32_MAX);
  if (reader.status().ok() && protocol != kEngineProtocolVersion) {
    return absl::InvalidArgumentError(absl::StrCat("the engine speaks protocol ", protocol, ", this worker ",
                                                   kEngineProtocolVersion, ": use programs of one version"));
  }
  ready.engine = reader.String("engine");
  ready.trainers = reader.Strings("trainers");
  if (ready.trainers.empty()) reader.Fail("trainers", "at least one trainer");
  ready.capacity = static_cast<int>(reader.Integer("capacity", 1, kMostEngineCapacity));
  ready.device = reader.String("device");
  if (reader.Find("memory_bytes") != nullptr) ready.memory_bytes = reader.Integer("memory_bytes", 0, INT64_MAX);
  ready.numerics = reader.Object("numerics");
  ready.pack_parameters = reader.Strings("pack_parameters");
  size_t offered = 0;
  for (const std::string& trainer : ready.trainers) {
    offered += OfferBytes(trainer, CanonicalJson(ready.numerics), ready.pack_parameters);
  }
  // The coordinator would refuse the worker with all its engines.
  if (offered > kMostOfferBytes) {
    reader.Fail("numerics", absl::StrCat("an object that with the names of `trainers` and `pack_parameters`, once for "
                                         "each trainer, has at most ",
                                         kMostOfferBytes, " bytes, not ", offered));
  }
  if (const Json* checkpoints = reader.Find("checkpoints"); checkpoints != nullptr) {
    if (!checkpoints->is_boolean()) reader.Fail("checkpoints", "a boolean");
    ready.checkpoints = checkpoints->is_boolean() && checkpoints->get<bool>();
  }
  return Checked(reader, std::move(ready));
}

bool ReadColumn(const Json& array, MetricColumn* column) {
  column->values.reserve(array.size());
  for (const Json& value : array) {
    if (value.is_null()) {
      column->values.push_back(std::nullopt);
      continue;
    }
    if (value.is_number()) {
      column->values.push_back(value.get<double>());
      continue;
    }
    const absl::StatusOr<double> number = NumberFromJson(value);
    if (!number.ok()) return false;
    column->values.push_back(*number);
  }
  return true;
}

absl::StatusOr<EngineMessage> ReadMetrics(Reader reader, size_t bytes) {
  AttemptMetrics metrics;
  metrics.attempt = reader.Run();
  metrics.bytes = static_cast<int64_t>(bytes);
  const Json* steps = reader.Find("steps");
  if (steps == nullptr || !steps->is_array() || steps->empty()) {
    reader.Fail("steps", "a list of at least one step");
    return reader.status();
  }
  metrics.steps.reserve(steps->size());
  for (const Json& step : *steps) {
    const bool good = step.is_number_integer() && step >= 0 &&
                      step.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX) &&
                      (metrics.steps.empty() || step.get<int64_t>() > metrics.steps.back());
    if (!good) {
      reader.Fail("steps", "rising integers from 0 on");
      return reader.status();
    }
    metrics.steps.push_back(step.get<int64_t>());
  }
  const Json values = reader.Object("values");
  if (values.size() > kMostMetricColumns)
    reader.Fail("values", absl::StrCat("at most ", kMostMetricColumns, " metrics"));
  for (const auto& [name, array] : values.items()) {
    if (!IsPlainName(name)) reader.Fail("values", "metric names of 1 to 128 letters, digits, '_', '.' and '-'");
    if (!array.is_array() || array.size() != metrics.steps.size()) {
      reader.Fail("values", absl::StrCat("an array of ", metrics.steps.size(), " values for ", name));
    }
    if (!reader.status().ok()) return reader.status();
    MetricColumn column;
    column.name = name;
    if (!ReadColumn(array, &column)) {
      reader.Fail("values", absl::StrCat("numbers, null, \"NaN\", \"Infinity\" or \"-Infinity\" for ", name));
    }
    metrics.columns.push_back(std::move(column));
  }
  return Checked(reader, std::move(metrics));
}

absl::StatusOr<EngineMessage> ReadBusy(Reader reader) {
  EngineBusy busy;
  busy.attempt = reader.Run();
  const Json* seconds = reader.Find("seconds");
  const double value = seconds != nullptr && seconds->is_number() ? seconds->get<double>() : -1;
  if (!(value >= 0 && value <= absl::ToDoubleSeconds(kLongestBusy))) {
    reader.Fail("seconds", absl::StrCat("a number from 0 to ", absl::ToInt64Seconds(kLongestBusy)));
  }
  busy.duration = absl::Seconds(value);
  busy.reason = reader.String("reason", /*required=*/false);
  return Checked(reader, std::move(busy));
}

absl::StatusOr<EngineMessage> ReadCheckpoint(Reader reader) {
  AttemptCheckpoint checkpoint;
  checkpoint.attempt = reader.Run();
  checkpoint.step = reader.Step("step");
  checkpoint.path = reader.String("path");
  checkpoint.sha256 = reader.String("sha256");
  if (checkpoint.sha256.size() != 64 || checkpoint.sha256.find_first_not_of("0123456789abcdef") != std::string::npos) {
    reader.Fail("sha256", "64 lower-case hexadecimal digits");
  }
  if (reader.Find("numerics") != nullptr) checkpoint.numerics = reader.Object("numerics");
  return Checked(reader, std::move(checkpoint));
}

absl::StatusOr<EngineMessage> ReadFinished(Reader reader) {
  EngineFinished finished;
  finished.attempt = reader.Run();
  finished.outcome = reader.String("outcome");
  if (!IsPlainName(finished.outcome)) reader.Fail("outcome", "a word of letters, digits, '_', '.' and '-'");
  finished.reason = reader.String("reason");
  finished.last_step = reader.Step("last_step");
  finished.summary = reader.Object("summary");
  return Checked(reader, std::move(finished));
}

absl::StatusOr<EngineMessage> ReadFailed(Reader reader) {
  EngineFailed failed;
  failed.attempt = reader.Run();
  failed.reason = reader.String("reason");
  const std::string kind = reader.String("kind");
  if (kind != "error" && kind != "out_of_memory") reader.Fail("kind", "\"error\" or \"out_of_memory\"");
  failed.out_of_memory = kind == "out_of_memory";
  if (reader.Find("pack") != nullptr) {
    // Up to twice the capacity: it may just have been halved.
    failed.pack = static_cast<int>(reader.Integer("pack", 1, 2 * kMostEngineCapacity));
  }
  return Checked(reader, std::move(failed));
}

std::string Line(const Json& message) {
  return message.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

absl::StatusOr<EngineMessage> ParseEngineMessage(std::string_view line) {
  SEEDBED_ASSIGN_OR_RETURN(const Json message, ParseJson(std::string(line), "a line of the engine"));
  if (!message.is_object()) return absl::InvalidArgumentError("a line of the engine is not a JSON object");
  const auto found = message.find("type");
  if (found == message.end() || !found->is_string()) {
    return absl::InvalidArgumentError("a message of the engine has no \"type\" (a string)");
  }
  const std::string type = found->get<std::string>();
  Reader reader(message, type);
  if (type == "metrics") return ReadMetrics(std::move(reader), line.size());
  if (type == "alive") {
    AttemptAlive alive{reader.Run(), reader.Step("step")};
    return Checked(reader, alive);
  }
  if (type == "busy") return ReadBusy(std::move(reader));
  if (type == "checkpoint") return ReadCheckpoint(std::move(reader));
  if (type == "finished") return ReadFinished(std::move(reader));
  if (type == "stopped") {
    EngineStopped stopped{reader.Run(), reader.Step("last_step")};
    return Checked(reader, stopped);
  }
  if (type == "failed") return ReadFailed(std::move(reader));
  if (type == "ready") return ReadReady(std::move(reader));
  return absl::InvalidArgumentError(absl::StrCat("a message of the engine has the unknown type \"", type, "\""));
}

std::string StartLine(const AttemptStart& start) {
  Json message = {{"type", "start"},
                  {"run", start.attempt.value()},
                  {"specification", start.specification},
                  {"directory", start.directory},
                  {"resume", nullptr},
                  {"final_checkpoint", start.final_checkpoint}};
  if (start.resume) message["resume"] = *start.resume;
  return Line(message);
}

std::string CheckpointLine(AttemptId attempt) {
  return Line(Json::object({{"type", "checkpoint"}, {"run", attempt.value()}}));
}

std::string StopLine(AttemptId attempt, bool checkpoint) {
  return Line(Json::object({{"type", "stop"}, {"run", attempt.value()}, {"checkpoint", checkpoint}}));
}

std::string ShutdownLine() {
  return Line(Json::object({{"type", "shutdown"}}));
}

}  // namespace seedbed
