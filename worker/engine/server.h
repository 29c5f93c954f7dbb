#pragma once

#include "worker/engine/engine_settings.h"

namespace seedbed::engine {

// Speaks the engine protocol over the two descriptors until told to leave: trains up to `settings.capacity` runs at
// once, in turn, on a thread of its own, warm between runs. Returns the process's exit status: 0 after `shutdown`,
// SIGTERM, SIGINT or the end of either descriptor; 2 if the worker broke the protocol (the reason is on standard
// error). Blocks SIGTERM and SIGINT in the calling thread.
int ServeEngine(int input_fd, int output_fd, const EngineSettings& settings);

}  // namespace seedbed::engine
