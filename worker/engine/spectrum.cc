#include "worker/engine/spectrum.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "common/schema/modular_operations.h"

namespace seedbed::engine {
namespace {

constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();

// g⁰, g¹, … up to the first power that is 1 again.
std::vector<int32_t> PowersOf(int64_t g, int64_t modulus) {
  std::vector<int32_t> powers;
  int64_t power = 1;
  do {
    powers.push_back(static_cast<int32_t>(power));
    power = power * g % modulus;
  } while (power != 1 && power != 0);
  return powers;
}

bool IsFinite(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

}  // namespace

std::optional<std::vector<int32_t>> SymbolOrder(const TaskParameters& task) {
  const ModularOperation& operation = *FindModularOperation(task.operation);
  const int64_t modulus = task.modulus;
  if (!HasSpectrum(operation, modulus)) return std::nullopt;
  if (!operation.is_multiplicative) {
    std::vector<int32_t> order(static_cast<size_t>(modulus));
    std::iota(order.begin(), order.end(), 0);
    return order;
  }
  for (int64_t g = 1; g < modulus; ++g) {
    std::vector<int32_t> powers = PowersOf(g, modulus);
    if (static_cast<int64_t>(powers.size()) == modulus - 1) return powers;
  }
  return std::nullopt;
}

Spectrum SpectrumOf(const double* rows, int64_t columns, const std::vector<int32_t>& order) {
  const auto points = static_cast<int64_t>(order.size());
  const auto width = static_cast<size_t>(columns);
  const double turn = 2 * std::acos(-1.0) / static_cast<double>(points);
  Spectrum spectrum;
  std::vector<double> squares(width, 0.0), fourths(width, 0.0);  // by column, over k >= 1
  std::vector<double> real(width), imaginary(width);
  for (int64_t k = 0; k <= points / 2; ++k) {
    real.assign(width, 0.0);
    imaginary.assign(width, 0.0);
    for (int64_t n = 0; n < points; ++n) {
      const double angle = turn * static_cast<double>(k * n % points);
      const double cosine = std::cos(angle);
      const double sine = std::sin(angle);
      const double* row = rows + order[static_cast<size_t>(n)] * columns;
      for (size_t j = 0; j < width; ++j) {
        real[j] += cosine * row[j];
        imaginary[j] -= sine * row[j];
      }
    }
    double energy = 0;
    for (size_t j = 0; j < width; ++j) {
      const double square = real[j] * real[j] + imaginary[j] * imaginary[j];
      energy += square;
      if (k == 0) continue;
      squares[j] += square;
      fourths[j] += square * square;
    }
    spectrum.energy.push_back(energy);
  }
  int64_t counted = 0;
  for (size_t j = 0; j < width; ++j) {
    if (squares[j] == 0) continue;
    spectrum.inverse_participation_ratio += fourths[j] / (squares[j] * squares[j]);
    ++counted;
  }
  spectrum.inverse_participation_ratio /= static_cast<double>(counted);  // 0/0 where all is constant
  return spectrum;
}

double TopShare(const Spectrum& spectrum, size_t count, bool with_constant) {
  if (!IsFinite(spectrum.energy)) return kNotANumber;
  std::vector<double> energy(spectrum.energy.begin() + (with_constant ? 0 : 1), spectrum.energy.end());
  std::sort(energy.begin(), energy.end(), std::greater<>());
  const auto top = energy.begin() + static_cast<int64_t>(std::min(count, energy.size()));
  return std::accumulate(energy.begin(), top, 0.0) / std::accumulate(energy.begin(), energy.end(), 0.0);
}

std::vector<int64_t> KeyFrequencies(const Spectrum& spectrum, size_t count) {
  if (!IsFinite(spectrum.energy)) return {};
  std::vector<int64_t> frequencies(spectrum.energy.size() - 1);
  std::iota(frequencies.begin(), frequencies.end(), 1);
  std::stable_sort(frequencies.begin(), frequencies.end(), [&](int64_t left, int64_t right) {
    return spectrum.energy[static_cast<size_t>(left)] > spectrum.energy[static_cast<size_t>(right)];
  });
  frequencies.resize(std::min(count, frequencies.size()));
  return frequencies;
}

double Gini(std::vector<double> values) {
  if (!IsFinite(values)) return kNotANumber;
  std::sort(values.begin(), values.end());
  const auto n = static_cast<double>(values.size());
  double weighted = 0;
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    weighted += values[i] * (n - static_cast<double>(i) - 0.5) / n;
    sum += values[i];
  }
  return 1 - 2 * weighted / sum;
}

double SpectrumGini(const Spectrum& spectrum) {
  std::vector<double> norms;
  for (size_t k = 1; k < spectrum.energy.size(); ++k) norms.push_back(std::sqrt(spectrum.energy[k]));
  return Gini(std::move(norms));
}

}  // namespace seedbed::engine
