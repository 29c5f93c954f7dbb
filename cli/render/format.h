#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/base/json.h"

// Values as people read them. Programs get JSON instead (proto_json.h), so nothing here has to be parsed back.
namespace seedbed::cli {

// "0.4s", "42s", "1m 20s", "2h 05m", "3d 4h": two units at most. Negative and non-finite durations are "?".
std::string FormatDuration(double seconds);

// "50,000".
std::string FormatCount(int64_t count);

// "12 runs", "1 run": the noun gets an s unless there is exactly one.
// A step that was reached; "" for -1, which is none.
std::string FormatStep(int64_t step);
std::string FormatPlural(int64_t count, const std::string& noun);

// Whole numbers as FormatCount, others with one decimal below 1,000 ("12.5").
std::string FormatMedian(double value);

// Steps per second: "0.8", "523", "5,432", "12.3k", "4.1M".
std::string FormatRate(double per_second);

// A double in its shortest form that reads back to the same: "0.002", "1e-5", "3".
std::string FormatNumber(double value);

// Local time, "2026-11-23 16:52:06"; "" for 0. `microseconds` since 1970, UTC.
std::string FormatTime(int64_t microseconds);
// RFC 3339 in UTC with microseconds, for JSON.
std::string FormatTimeUtc(int64_t microseconds);
// "3m ago", "2d ago"; "" for 0.
std::string FormatAgo(int64_t microseconds, int64_t now_microseconds);

// A parameter's value: strings bare, numbers as FormatNumber.
std::string FormatValue(const Json& value);

// For each dotted name its shortest tail of whole parts that no other of them ends in: "optimizer.weight_decay" is
// "weight_decay" where no "regulariser.weight_decay" stands beside it.
std::map<std::string, std::string> ShortNames(const std::vector<std::string>& names);

// "weight_decay=0.3 activation=relu" out of a canonical JSON object; "" for an empty one or for text that is no object.
std::string FormatVaried(const std::string& varied_json);

// "0-4, 7, 9-11" out of integers in any order.
std::string FormatRanges(std::vector<int64_t> numbers);

}  // namespace seedbed::cli
