#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

// What libFuzzer and replay_main.cc call.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace seedbed::fuzz {

// For what must hold whatever the input is; both ways of running keep the input that broke it.
inline void Require(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", what.c_str());
  std::abort();
}

}  // namespace seedbed::fuzz
