#include "worker/engine/spectrum.h"

#include <cmath>
#include <complex>
#include <numeric>

#include "common/base/philox.h"
#include "gtest/gtest.h"

namespace seedbed::engine {
namespace {

const double kPi = std::acos(-1.0);

std::vector<int32_t> Plain(int32_t points) {
  std::vector<int32_t> order(static_cast<size_t>(points));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

std::vector<int32_t> OrderOf(const char* operation, int64_t modulus) {
  TaskParameters task;
  task.operation = operation;
  task.modulus = modulus;
  return SymbolOrder(task).value_or(std::vector<int32_t>{});
}

std::vector<double> RandomRows(int64_t count) {
  PhiloxStream random(5, 0);
  std::vector<double> rows(static_cast<size_t>(count));
  for (double& value : rows) value = random.NextNormal();
  return rows;
}

TEST(SpectrumTest, IsTheFourierTransform) {
  for (const int32_t points : {2, 7, 12}) {
    constexpr int64_t kColumns = 3;
    const std::vector<double> rows = RandomRows(points * kColumns);
    const Spectrum spectrum = SpectrumOf(rows.data(), kColumns, Plain(points));
    ASSERT_EQ(static_cast<int32_t>(spectrum.energy.size()), points / 2 + 1);
    double participation = 0;
    for (int64_t j = 0; j < kColumns; ++j) {
      double squares = 0, fourths = 0;
      for (int32_t k = 1; k <= points / 2; ++k) {
        std::complex<double> f = 0;
        for (int32_t n = 0; n < points; ++n) f += rows[n * kColumns + j] * std::polar(1.0, -2 * kPi * k * n / points);
        squares += std::norm(f);
        fourths += std::norm(f) * std::norm(f);
      }
      participation += fourths / (squares * squares) / kColumns;
    }
    EXPECT_NEAR(spectrum.inverse_participation_ratio, participation, 1e-12);
    for (int32_t k = 0; k <= points / 2; ++k) {
      double energy = 0;
      for (int64_t j = 0; j < kColumns; ++j) {
        std::complex<double> f = 0;
        for (int32_t n = 0; n < points; ++n) f += rows[n * kColumns + j] * std::polar(1.0, -2 * kPi * k * n / points);
        energy += std::norm(f);
      }
      EXPECT_NEAR(spectrum.energy[k], energy, 1e-12 * energy + 1e-12) << points << " " << k;
    }
  }
}

TEST(SpectrumTest, FindsPlantedFrequencies) {
  constexpr int32_t kPoints = 97;
  // Column j holds one frequency, with a phase of its own; the third one is constant besides.
  const std::vector<std::pair<int, double>> columns = {{5, 3.0}, {41, 1.0}, {17, 2.0}};
  std::vector<double> rows;
  for (int32_t n = 0; n < kPoints; ++n) {
    for (size_t j = 0; j < columns.size(); ++j) {
      rows.push_back(columns[j].second * std::cos(2 * kPi * columns[j].first * n / kPoints + 0.3 * j) +
                     (j == 2 ? 4 : 0));
    }
  }
  const Spectrum spectrum = SpectrumOf(rows.data(), 3, Plain(kPoints));
  EXPECT_EQ(KeyFrequencies(spectrum, 3), (std::vector<int64_t>{5, 17, 41}));
  EXPECT_NEAR(TopShare(spectrum, 3, false), 1, 1e-12);
  EXPECT_NEAR(TopShare(spectrum, 1, false), 9.0 / 14, 1e-12);
  // Each wave of amplitude A has energy (A·p/2)², the constant (4p)².
  EXPECT_NEAR(TopShare(spectrum, 1, true), 16.0 / (16 + 14.0 / 4), 1e-12);
  EXPECT_NEAR(spectrum.inverse_participation_ratio, 1, 1e-12);
}

TEST(SpectrumTest, ParticipationOfFrequenciesOfOneSize) {
  constexpr int32_t kPoints = 31;
  std::vector<double> rows;
  for (int32_t n = 0; n < kPoints; ++n) {
    rows.push_back(std::cos(2 * kPi * 2 * n / kPoints) + std::sin(2 * kPi * 7 * n / kPoints) +
                   std::cos(2 * kPi * 11 * n / kPoints + 1));
    rows.push_back(0);  // counts for nothing
  }
  EXPECT_NEAR(SpectrumOf(rows.data(), 2, Plain(kPoints)).inverse_participation_ratio, 1.0 / 3, 1e-12);
  // A single 1 among zeros has all frequencies alike.
  std::vector<double> one(kPoints, 0.0);
  one[4] = 1;
  const Spectrum flat = SpectrumOf(one.data(), 1, Plain(kPoints));
  EXPECT_NEAR(flat.inverse_participation_ratio, 1.0 / 15, 1e-12);
  EXPECT_NEAR(SpectrumGini(flat), 0, 1e-12);
  EXPECT_NEAR(TopShare(flat, 5, false), 5.0 / 15, 1e-12);
  EXPECT_NEAR(TopShare(flat, 5, true), 5.0 / 16, 1e-12);
}

TEST(SpectrumTest, ProductsAreTransformedOverTheLogarithm) {
  EXPECT_EQ(OrderOf("multiply", 7), (std::vector<int32_t>{1, 3, 2, 6, 4, 5}));  // powers of 3
  EXPECT_EQ(OrderOf("divide", 5), (std::vector<int32_t>{1, 2, 4, 3}));          // powers of 2
  EXPECT_EQ(OrderOf("multiply_with_zero", 2), (std::vector<int32_t>{1}));
  EXPECT_EQ(OrderOf("add", 4), (std::vector<int32_t>{0, 1, 2, 3}));
  EXPECT_TRUE(OrderOf("multiply", 9).empty());
  EXPECT_TRUE(OrderOf("s5_xy", 97).empty());
  constexpr int32_t kModulus = 97;
  std::vector<double> rows(kModulus, 100.0);  // of 0, which is left out
  int64_t power = 1;
  for (int32_t n = 0; n < kModulus - 1; ++n, power = power * 5 % kModulus) {  // 5 is the smallest root of 97
    rows[static_cast<size_t>(power)] = std::cos(2 * kPi * 13 * n / (kModulus - 1));
  }
  const Spectrum spectrum = SpectrumOf(rows.data(), 1, OrderOf("multiply", kModulus));
  EXPECT_EQ(spectrum.energy.size(), 49u);
  EXPECT_EQ(KeyFrequencies(spectrum, 1), std::vector<int64_t>{13});
  EXPECT_NEAR(TopShare(spectrum, 1, true), 1, 1e-12);
}

TEST(GiniTest, ClosedForms) {
  EXPECT_NEAR(Gini({3, 3, 3, 3}), 0, 1e-15);
  EXPECT_NEAR(Gini({0, 0, 5, 0}), 0.75, 1e-15);
  // Of 1, 2, …, n it is (n − 1) / (3n).
  std::vector<double> numbers(9);
  std::iota(numbers.rbegin(), numbers.rend(), 1);
  EXPECT_NEAR(Gini(numbers), 8.0 / 27, 1e-15);
  EXPECT_TRUE(std::isnan(Gini({1, std::nan("")})));
  EXPECT_TRUE(std::isnan(Gini({0, 0})));
}

TEST(SpectrumTest, WhatIsNotFiniteHasNoFrequencies) {
  const std::vector<double> rows = {1, std::nan(""), 2, 3, 4};
  const Spectrum spectrum = SpectrumOf(rows.data(), 1, Plain(5));
  EXPECT_TRUE(KeyFrequencies(spectrum, 5).empty());
  EXPECT_TRUE(std::isnan(TopShare(spectrum, 5, true)));
}

}  // namespace
}  // namespace seedbed::engine
