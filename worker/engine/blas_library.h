#pragma once

#include <string>

// What the process's BLAS says of itself. No torch.
namespace seedbed::engine {

// OpenBLAS's own description (version, build), or "unknown" where the library is another.
std::string BlasDescription();

// The kernel that OpenBLAS chose for this CPU, e.g. "Haswell", "SkylakeX"; "unknown" where the library is another.
std::string BlasKernelName();

}  // namespace seedbed::engine
