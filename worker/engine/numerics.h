#pragma once

#include <cstdint>
#include <string>

#include "common/base/json.h"

namespace seedbed::engine {

// To be called once on each thread that trains: denormals count as zero there (decay drives weights into them, and they
// are slow), and LibTorch uses that thread alone.
void SetUpTrainingThread();

// What decides the bits of a result beside its specification: this engine's version, LibTorch, BLAS and its kernel (or,
// where it does not name one, the CPU), instruction sets, threads, device. Call it on a thread that was set up.
Json NumericsFingerprint();

// The same of runs that are replicas of a stacked pack on a device: the pack's capacity and the GPU decide too.
Json StackedNumericsFingerprint(const std::string& device, int capacity);

int64_t PhysicalMemoryBytes();

}  // namespace seedbed::engine
