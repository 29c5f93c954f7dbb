#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace seedbed::cli {

// The path of seedbed-engine: in SEEDBED_BIN if that is set, else beside this program.
std::string EngineProgram();

// Runs seedbed-engine with `arguments`, and with `input` as its standard input. Each line of its output goes to
// `on_line`, on this thread; a false from it ends the engine early, with OK. What it says on standard error goes to
// ours. NOT_FOUND if there is no such program; INTERNAL, with its exit, if it fails.
absl::Status RunEngine(const std::vector<std::string>& arguments, const std::string& input,
                       const std::function<bool(std::string_view)>& on_line);

}  // namespace seedbed::cli
