#include "worker/process/engine_events.h"

namespace seedbed {

const char* AttemptEndName(AttemptEnd end) {
  switch (end) {
    case AttemptEnd::kFinished:
      return "finished";
    case AttemptEnd::kStopped:
      return "stopped";
    case AttemptEnd::kFailed:
      return "failed";
    case AttemptEnd::kOutOfMemory:
      return "out_of_memory";
    case AttemptEnd::kCrashed:
      return "crashed";
    case AttemptEnd::kStalled:
      return "stalled";
    case AttemptEnd::kTimedOut:
      return "timed_out";
    case AttemptEnd::kNotStarted:
      return "not_started";
  }
  return "unknown";
}

}  // namespace seedbed
