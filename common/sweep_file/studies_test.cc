// The sweep files that are shipped and the examples of the documentation stay valid.
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/sweep_file/sweep.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seedbed {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream in(absl::StrCat(SEEDBED_SOURCE_DIR, "/", path), std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

Sweep Parsed(const std::string& text, const std::string& name) {
  absl::StatusOr<Sweep> sweep = ParseSweep(text, name);
  EXPECT_TRUE(sweep.ok()) << sweep.status();
  return sweep.ok() ? *std::move(sweep) : Sweep();
}

TEST(Studies, QuickstartSweepsWeightDecay) {
  const Sweep sweep = Parsed(ReadFile("studies/quickstart.yaml"), "quickstart.yaml");
  EXPECT_EQ(sweep.configurations.size(), 6u);
  EXPECT_EQ(sweep.run_count(), 18);
  EXPECT_EQ(sweep.shared.budget.steps, 6000);
  EXPECT_EQ(sweep.configurations[1].varied_json, R"({"optimizer.weight_decay":0.03})");
}

TEST(Studies, CanonicalIsThePapersFirstExperiment) {
  const Sweep sweep = Parsed(ReadFile("studies/canonical.yaml"), "canonical.yaml");
  ASSERT_EQ(sweep.configurations.size(), 1u);
  EXPECT_THAT(sweep.seeds, ::testing::ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(CanonicalJson(ToJson(sweep.shared)),
            R"({"budget":{"seconds":null,"steps":60000},"metrics":{"evaluate_every":100,"log_every":100},"stop":[)"
            R"({"at_least":0.99,"held_for":3,"metric":"test_accuracy"},{"not_finite":true}],"trainer":"modular"})");
  const Json parameters = Json::parse(sweep.configurations[0].parameters_json);
  EXPECT_EQ(parameters["optimizer.momentum"], 0.9);
  EXPECT_EQ(parameters["task.train_fraction"], 0.2);
}

TEST(Documentation, ExamplesAreValid) {
  const std::string page = ReadFile("docs/sweep-file.md");
  const std::string fence = "```yaml\n";
  std::vector<size_t> configurations;
  for (size_t at = page.find(fence); at != std::string::npos; at = page.find(fence, at + 1)) {
    const size_t begin = at + fence.size();
    std::string text = page.substr(begin, page.find("```", begin) - begin);
    if (!absl::StartsWith(text, "name:")) text = "name: example\n" + text;
    if (!absl::StrContains(text, "budget:")) text += "budget: {steps: 10}\n";
    configurations.push_back(Parsed(text, "sweep-file.md").configurations.size());
  }
  // The first example, `when`, the random search and the stop rules.
  EXPECT_THAT(configurations, ::testing::ElementsAre(4, 3, 20, 1));
}

}  // namespace
}  // namespace seedbed
