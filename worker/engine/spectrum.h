#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "worker/engine/run_parameters.h"

// The Fourier spectrum of an embedding over the symbols, and how much of it lies in few frequencies. Pure functions of
// their arguments; not a number where an argument is none.
namespace seedbed::engine {

struct Spectrum {
  // energy[k] = Σ_j |F_kj|² for k = 0 … ⌊N/2⌋, F_kj = Σ_n E_nj · exp(−2πi·k·n/N): the discrete Fourier transform over
  // the N symbols in their order, summed over the embedding's columns j. Frequencies k and N − k are one.
  std::vector<double> energy;
  // Mean over the columns of Σ_k |F_kj|⁴ / (Σ_k |F_kj|²)², k = 1 … ⌊N/2⌋, over those that are not 0: 1 if each column
  // holds one frequency, 1/⌊N/2⌋ if it holds all alike. (The inverse participation ratio of order 2 of Gromov,
  // "Grokking modular arithmetic", arXiv:2301.02679, there of each neuron's weights.)
  double inverse_participation_ratio = 0;
};

// The symbols in the order of the group that the operation works in: 0 … p − 1 for sums; g⁰, g¹, …, g^(p−2) with the
// smallest primitive root g for multiply, multiply_with_zero and divide (the discrete logarithm as the coordinate, 0
// left out). Nothing where there is no such order: permutations, and products modulo a number that is not prime.
std::optional<std::vector<int32_t>> SymbolOrder(const TaskParameters& task);

// `rows`: row-major, `columns` wide; row order[n] is E_n. About N²·columns operations.
Spectrum SpectrumOf(const double* rows, int64_t columns, const std::vector<int32_t>& order);

// The share of the `count` largest energies in the sum of all; with_constant: k = 0 counts among both.
double TopShare(const Spectrum& spectrum, size_t count, bool with_constant);

// The `count` frequencies k >= 1 with the largest energies, largest first, the lower of equals first; fewer if there
// are fewer.
std::vector<int64_t> KeyFrequencies(const Spectrum& spectrum, size_t count);

// The Gini coefficient of values >= 0, 1 − 2·Σ_i (v_(i)/Σv)·((n − i + ½)/n) over v_(1) <= … <= v_(n): 0 if all are
// alike, 1 − 1/n if all but one are 0 (Hurley and Rickard, "Comparing Measures of Sparsity", 2009). Nanda et al. 2023
// take it over the norms of the Fourier components.
double Gini(std::vector<double> values);

// Gini of √energy[k], k >= 1.
double SpectrumGini(const Spectrum& spectrum);

}  // namespace seedbed::engine
