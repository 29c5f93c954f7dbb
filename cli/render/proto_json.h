#pragma once

#include <string>

#include "nlohmann/json.hpp"
#include "seedbed/v1/sweep_service.pb.h"

// What `--json` prints: docs/cli.md lists the keys, and they do not change. Keys stand in the order in which they are
// written here, times are RFC 3339 in UTC (null for none), states are lower-case words, parameters are objects.
namespace seedbed::cli {

using OrderedJson = nlohmann::ordered_json;

std::string StateName(v1::SweepState state);
std::string StateName(v1::RunState state);
// As tables and JSON say it: `done` for one that is active and whose runs have all ended.
std::string StateName(const v1::SweepSummary& sweep);
std::string StateName(v1::WorkerState state);
std::string EndName(v1::AttemptEnd end);  // "" while the attempt lasts

// The reverse, for --state; false for a word that is no state of a run.
bool RunStateFromName(const std::string& name, v1::RunState* state);

OrderedJson ToJson(const v1::RunCounts& counts);
OrderedJson ToJson(const v1::GetServerInfoResponse& info);
OrderedJson ToJson(const v1::SubmitSweepResponse& submitted);
OrderedJson ToJson(const v1::SweepSummary& sweep);
OrderedJson ToJson(const v1::ConfigurationSummary& configuration);
OrderedJson ToJson(const v1::RunSummary& run);
OrderedJson ToJson(const v1::AttemptSummary& attempt);
OrderedJson ToJson(const v1::WorkerSummary& worker);
OrderedJson ToJson(const v1::ProgressResponse& progress);
OrderedJson ToJson(const v1::Value& value);

// JSON text from the server as a value; null for "", and the text itself if it is no JSON.
OrderedJson ParsedOrText(const std::string& json);

// One line, with bytes that are no UTF-8 replaced.
std::string Dump(const OrderedJson& json);

int64_t TotalRuns(const v1::RunCounts& counts);
int64_t EndedRuns(const v1::RunCounts& counts);

}  // namespace seedbed::cli
