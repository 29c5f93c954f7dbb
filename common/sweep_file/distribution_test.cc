#include "common/sweep_file/distribution.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/sweep_file/sweep.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seedbed {
namespace {

Sweep Random(const std::string& parameters, int count, const std::vector<std::string>& overrides = {}) {
  absl::StatusOr<Sweep> sweep =
      ParseSweep(absl::StrCat("name: s\nbudget: {steps: 1}\nmethod: random\nrun_cap: ", count, "\n", parameters),
                 "s.yaml", overrides);
  EXPECT_TRUE(sweep.ok()) << sweep.status();
  return sweep.ok() ? *std::move(sweep) : Sweep();
}

std::vector<double> Drawn(const Sweep& sweep, const std::string& name) {
  std::vector<double> values;
  for (const Configuration& c : sweep.configurations)
    values.push_back(Json::parse(c.parameters_json)[name].get<double>());
  return values;
}

// A split seed that differs from point to point keeps equal draws from being one point.
std::vector<double> Draw(const std::string& domain, int count, const std::string& name = "optimizer.weight_decay") {
  return Drawn(
      Random(absl::StrCat("parameters: {task.split_seed: {min: 0, max: 1000000000000}, ", name, ": {", domain, "}}"),
             count),
      name);
}

// Largest distance between the values' distribution and `cdf` (Kolmogorov and Smirnov's statistic).
double Distance(std::vector<double> values, const std::function<double(double)>& cdf) {
  std::sort(values.begin(), values.end());
  double distance = 0;
  const auto count = static_cast<double>(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    distance = std::max(distance, std::abs(cdf(values[i]) - static_cast<double>(i) / count));
    distance = std::max(distance, std::abs(cdf(values[i]) - static_cast<double>(i + 1) / count));
  }
  return distance;
}

double NormalCdf(double x) {
  return 0.5 * std::erfc(-x / std::sqrt(2.0));
}

TEST(Distribution, HasTheShapeThatItsNameSays) {
  constexpr int kCount = 4000;
  const double bound = 1.95 / std::sqrt(kCount);  // exceeded by chance once in a thousand; the draws are fixed
  const struct {
    const char* domain;
    std::function<double(double)> cdf;
  } rows[] = {
      {"distribution: uniform, min: 2, max: 6", [](double x) { return (x - 2) / 4; }},
      {"min: 0.0, max: 0.5", [](double x) { return x / 0.5; }},
      {"distribution: log_uniform_values, min: 1e-4, max: 1e-1", [](double x) { return (std::log10(x) + 4) / 3; }},
      {"distribution: log_uniform, min: -3, max: 2", [](double x) { return (std::log(x) + 3) / 5; }},
      {"distribution: inv_log_uniform_values, min: 1e-4, max: 1e-1", [](double x) { return (std::log10(x) + 4) / 3; }},
      {"distribution: inv_log_uniform, min: -3, max: 2", [](double x) { return (std::log(x) + 2) / 5; }},
      {"distribution: normal, mu: 10, sigma: 0.5", [](double x) { return NormalCdf((x - 10) / 0.5); }},
      {"distribution: log_normal, mu: -3, sigma: 2", [](double x) { return NormalCdf((std::log(x) + 3) / 2); }},
  };
  for (const auto& row : rows) {
    const std::vector<double> values = Draw(row.domain, kCount);
    ASSERT_EQ(values.size(), static_cast<size_t>(kCount));
    EXPECT_LT(Distance(values, row.cdf), bound) << row.domain;
  }
}

TEST(Distribution, StaysWithinItsBounds) {
  for (const char* domain : {"distribution: uniform, min: 0.1, max: 0.10000000001",
                             "distribution: log_uniform_values, min: 0.3, max: 0.30000000001",
                             "distribution: inv_log_uniform_values, min: 0.3, max: 0.30000000001"}) {
    for (const double value : Draw(domain, 300)) {
      EXPECT_GE(value, value < 0.2 ? 0.1 : 0.3) << domain;
      EXPECT_LE(value, value < 0.2 ? 0.10000000001 : 0.30000000001) << domain;
    }
  }
}

TEST(Distribution, IntegersComeWithBothEnds) {
  const std::vector<double> values = Draw("min: 3, max: 6", 2000, "model.depth");
  for (const double wanted : {3.0, 4.0, 5.0, 6.0}) {
    EXPECT_NEAR(static_cast<double>(std::count(values.begin(), values.end(), wanted)) / 2000, 0.25, 0.04);
  }
}

TEST(Distribution, MultiplesOfQ) {
  const std::vector<double> uniform = Draw("distribution: q_uniform, min: 0, max: 1, q: 0.1", 2000);
  const std::set<double> distinct(uniform.begin(), uniform.end());
  EXPECT_EQ(distinct, (std::set<double>{0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1}));
  // Rounded to the nearest: the ends get half as much.
  EXPECT_NEAR(static_cast<double>(std::count(uniform.begin(), uniform.end(), 0.0)) / 2000, 0.05, 0.015);
  for (const double width : Draw("distribution: q_log_uniform_values, min: 16, max: 1024, q: 16", 300, "model.width")) {
    EXPECT_EQ(std::fmod(width, 16), 0);
  }
  for (const double depth : Draw("distribution: q_normal, mu: 30, sigma: 3", 300, "model.depth")) {
    EXPECT_EQ(std::fmod(depth, 1), 0);
  }
}

TEST(Distribution, CategoriesFollowTheirProbabilities) {
  const std::vector<double> equal = Draw("values: [1, 2, 3, 4]", 4000, "model.depth");
  EXPECT_NEAR(static_cast<double>(std::count(equal.begin(), equal.end(), 2)) / 4000, 0.25, 0.03);
  const std::vector<double> given = Draw("values: [1, 2, 3], probabilities: [0.7, 0, 0.3]", 4000, "model.depth");
  EXPECT_NEAR(static_cast<double>(std::count(given.begin(), given.end(), 1)) / 4000, 0.7, 0.03);
  EXPECT_EQ(std::count(given.begin(), given.end(), 2), 0);
}

TEST(RandomSweep, IsAPureFunctionOfSeedAndIndex) {
  const std::string rate = "optimizer.learning_rate: {distribution: log_uniform_values, min: 1e-4, max: 1}";
  const std::string width = "model.width: {min: 1, max: 1000}";
  const Sweep one = Random("parameters: {" + rate + ", " + width + "}", 50);
  // A longer sweep starts with the shorter one.
  const Sweep longer = Random("parameters: {" + rate + ", " + width + "}", 80);
  for (size_t i = 0; i < 50; ++i) EXPECT_EQ(longer.configurations[i].digest, one.configurations[i].digest);
  // The order of keys does not matter, nor what else is drawn.
  EXPECT_EQ(Drawn(Random("parameters: {" + width + ", " + rate + "}", 50), "model.width"), Drawn(one, "model.width"));
  EXPECT_EQ(Drawn(Random("parameters: {" + width + ", model.depth: {min: 1, max: 60}}", 50), "model.width"),
            Drawn(one, "model.width"));
  EXPECT_NE(Drawn(Random("parameters: {" + rate + ", " + width + "}", 50, {"random_seed=1"}), "model.width"),
            Drawn(one, "model.width"));
  // Two parameters with one domain are drawn apart.
  const Sweep two = Random("parameters: {model.width: {min: 1, max: 64}, model.depth: {min: 1, max: 64}}", 50);
  EXPECT_NE(Drawn(two, "model.width"), Drawn(two, "model.depth"));
}

// Submitting again under a new version must not draw other points.
TEST(RandomSweep, KeepsItsPoints) {
  const Sweep sweep = Random(
      "parameters: {optimizer.learning_rate: {distribution: log_uniform_values, min: 1e-4, max: 1}, model.width: {min: "
      "1, max: "
      "1000}, optimizer.weight_decay: {distribution: normal, mu: 9}, model.activation: {values: [relu, gelu, tanh]}}\n"
      "random_seed: 42",
      3);
  std::vector<std::string> varied;
  for (const Configuration& configuration : sweep.configurations) varied.push_back(configuration.varied_json);
  // From a separate program (Python) that follows the documentation: Philox4x32-10 on (random_seed, FNV-1a of the name,
  // 8 words a point).
  EXPECT_THAT(varied, ::testing::ElementsAre(
                          R"({"model.activation":"tanh","model.width":618,"optimizer.learning_rate":0.00112204442,)"
                          R"("optimizer.weight_decay":9.00720723})",
                          R"({"model.activation":"gelu","model.width":213,"optimizer.learning_rate":0.2365366,)"
                          R"("optimizer.weight_decay":9.28384849})",
                          R"({"model.activation":"gelu","model.width":697,"optimizer.learning_rate":0.0187030811,)"
                          R"("optimizer.weight_decay":8.98532245})"));
}

TEST(RandomSweep, TakesZipsExclusionsAndInclusions) {
  const Sweep sweep = Random(
      "zip: [{model.width: [8, 16, 32], model.depth: [1, 2, 3]}]\nparameters: {task.split_seed: {min: 0, max: "
      "1000000000}}\n"
      "exclude: [{model.width: 16}]\ninclude: [{model.width: 5}]\n",
      200);
  std::set<std::string> pairs;
  for (const Configuration& configuration : sweep.configurations) {
    const Json p = Json::parse(configuration.parameters_json);
    pairs.insert(absl::StrCat(p["model.width"].dump(), "/", p["model.depth"].dump()));
  }
  EXPECT_EQ(pairs, (std::set<std::string>{"8/1", "32/3", "5/2"}));
  EXPECT_LT(sweep.configurations.size(), 180u);
}

}  // namespace
}  // namespace seedbed
