#pragma once

namespace seedbed::engine {

// BLAS and OpenMP read their environment when they are loaded, before main. So if it does not ask for one thread, this
// sets the variables and replaces the process by itself, once. With `choose_kernel`, which is for engines that no
// worker started, it does so too where this CPU has AVX-512 and OpenBLAS did not notice (its kernel is then half as
// fast); OPENBLAS_CORETYPE, if set by anyone, is left alone. Returns when there is nothing (left) to do.
void EnsureBlasEnvironment(char** arguments, bool choose_kernel);

}  // namespace seedbed::engine
