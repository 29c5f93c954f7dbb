#include "worker/engine/messages.h"

#include "common/schema/trainer_schema.h"

namespace seedbed::engine {
namespace {

// The parameters that replicas of one pack may have each for itself: numbers that neither a shape nor what is computed
// depends on (CanShareAPack in stacked_pack.h compares all others). Seeds always may differ.
constexpr const char* kPackParameters[] = {
    "model.init_scale",         "optimizer.learning_rate", "optimizer.weight_decay",   "optimizer.momentum",
    "optimizer.beta1",          "optimizer.beta2",         "optimizer.epsilon",        "optimizer.clip_norm",
    "optimizer.schedule",       "optimizer.warmup_steps",  "optimizer.schedule_steps", "optimizer.final_factor",
    "optimizer.grokfast_alpha",
};

// Reasons may quote what somebody sent: what is not UTF-8 is replaced rather than thrown over.
std::string Text(const Json& message) {
  return message.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string EngineName() {
  return "seedbed-engine " SEEDBED_VERSION;
}

std::string ReadyMessage(const Json& numerics, const std::string& device, int64_t memory_bytes, int capacity) {
  Json pack_parameters = Json::array();
  for (const char* name : kPackParameters) pack_parameters.push_back(name);
  return Text({{"type", "ready"},
               {"protocol", 1},
               {"engine", EngineName()},
               {"trainers", TrainerNames()},
               {"capacity", capacity},
               {"device", device},
               {"memory_bytes", memory_bytes},
               {"numerics", numerics},
               {"pack_parameters", std::move(pack_parameters)},
               {"checkpoints", true}});
}

std::string MetricsMessage(int64_t run, const std::vector<MetricRow>& rows) {
  Json steps = Json::array();
  for (const MetricRow& row : rows) steps.push_back(row.step);
  Json values = Json::object();
  for (size_t i = 0; i < kMetricCount; ++i) {
    Json column = Json::array();
    bool is_measured = false;
    for (const MetricRow& row : rows) {
      is_measured = is_measured || row.values[i].has_value();
      column.push_back(row.values[i] ? JsonNumber(*row.values[i]) : Json(nullptr));
    }
    if (is_measured) values[MetricName(static_cast<Metric>(i))] = std::move(column);
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    for (const auto& [name, value] : rows[r].others) {
      if (!values.contains(name)) values[name] = Json::array_t(rows.size());  // of nulls
      values[name][r] = JsonNumber(value);
    }
  }
  return Text({{"type", "metrics"}, {"run", run}, {"steps", std::move(steps)}, {"values", std::move(values)}});
}

std::string AliveMessage(int64_t run, int64_t step) {
  return Text({{"type", "alive"}, {"run", run}, {"step", step}});
}

std::string BusyMessage(int64_t run, double seconds, const std::string& reason) {
  return Text({{"type", "busy"}, {"run", run}, {"seconds", seconds}, {"reason", reason}});
}

std::string CheckpointMessage(int64_t run, int64_t step, const std::string& path, const std::string& sha256,
                              const Json& numerics) {
  return Text({{"type", "checkpoint"},
               {"run", run},
               {"step", step},
               {"path", path},
               {"sha256", sha256},
               {"numerics", numerics}});
}

std::string FinishedMessage(int64_t run, const std::string& outcome, const std::string& reason, int64_t last_step,
                            const Json& summary) {
  return Text({{"type", "finished"},
               {"run", run},
               {"outcome", outcome},
               {"reason", reason},
               {"last_step", last_step},
               {"summary", summary}});
}

std::string StoppedMessage(int64_t run, int64_t last_step) {
  return Text({{"type", "stopped"}, {"run", run}, {"last_step", last_step}});
}

std::string FailedMessage(int64_t run, FailureKind kind, const std::string& reason, int pack) {
  Json message = {{"type", "failed"},
                  {"run", run},
                  {"kind", kind == FailureKind::kOutOfMemory ? "out_of_memory" : "error"},
                  {"reason", reason}};
  if (pack > 0) message["pack"] = pack;
  return Text(message);
}

}  // namespace seedbed::engine
