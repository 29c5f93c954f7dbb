#pragma once

#include <cstdint>

// What a Spawner and its process say to each other, over a SOCK_SEQPACKET pair: one of these a packet. Both ends are
// one binary, so the layout is the compiler's.
namespace seedbed::spawner_wire {

enum class Kind : uint32_t {
  kSpawn,  // with descriptors: first a file of NUL-ended strings (working directory, argv…, environment…), then the
           // child's
  kSignal,      // value: the signal
  kKillTree,    // no value
  kReady,       // once, when nothing that is sent to the worker's group can harm the spawner any more
  kSpawned,     // value: the pid
  kNotSpawned,  // value: errno; stage: what failed
  kExited,      // value: wait status
};

enum class Stage : uint32_t { kRequest, kProcess, kWorkingDirectory, kProgram };

struct Message {
  Kind kind = Kind::kSpawn;
  Stage stage = Stage::kRequest;
  int64_t process = 0;
  int64_t value = 0;
  int64_t cpu_microseconds = 0;
  int64_t peak_memory_bytes = 0;
  uint32_t argument_count = 0;
  uint32_t environment_count = 0;
  uint64_t null_descriptors = 0;  // bit i: the child's descriptor i is /dev/null, none was sent for it
  uint32_t descriptor_count = 0;  // of the child, those that are /dev/null included
};

// Descriptors of one child: bounded by null_descriptors' bits and by SCM_RIGHTS (253).
inline constexpr uint32_t kMostDescriptors = 64;

// Serves requests on `socket` until end of file, then kills all descendants. Runs in the forked process.
[[noreturn]] void ServeSpawner(int socket, bool use_control_groups);

}  // namespace seedbed::spawner_wire
