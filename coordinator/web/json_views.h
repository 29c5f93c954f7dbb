#pragma once

#include <string>

#include "common/base/json.h"
#include "coordinator/listing.h"
#include "coordinator/storage/reader.h"

// Rows as the JSON of /api/v1 (docs/dashboard.md). What is absent is null; times are UTC microseconds.
namespace seedbed {

Json ViewOf(const core::RunCounts& counts);
Json ViewOf(const SweepRow& row, int64_t budget_steps);
Json ViewOf(const ConfigurationRow& row, const ConfigurationCounts& counts);
Json ViewOf(const RunRow& row);
Json ViewOf(const AttemptRow& row);
Json ViewOf(const WorkerRow& row);
Json ViewOf(const Value& value);

// As an answer has it. Texts come from people: what is no UTF-8 is replaced, not an error.
std::string JsonText(const Json& json);

}  // namespace seedbed
