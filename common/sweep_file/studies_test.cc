// The sweep files that are shipped and the examples of the documentation stay valid.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/schema/trainer_schema.h"
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

// The counts that the study has: configurations, seeds, budget.
TEST(Studies, HaveTheExperimentsPoints) {
  const struct {
    const char* name;
    size_t configurations;
    size_t seeds;
    int64_t steps;
  } rows[] = {
      {"quickstart", 6, 3, 6000},       {"canonical", 1, 5, 60000},
      {"depth", 3, 5, 400000},          {"architecture", 2, 5, 400000},
      {"activation", 6, 5, 400000},     {"weight_decay_mlp", 7, 3, 400000},
      {"parameter_norm", 6, 3, 400000}, {"weight_decay_transformer", 6, 3, 400000},
      {"spectrum", 3, 3, 400000},       {"multiplication", 4, 5, 400000},
  };
  std::set<std::string> names;
  for (const auto& row : rows) {
    const std::string file = absl::StrCat("studies/", row.name, ".yaml");
    const Sweep sweep = Parsed(ReadFile(file), file);
    EXPECT_EQ(sweep.name, row.name);
    EXPECT_EQ(sweep.configurations.size(), row.configurations) << file;
    EXPECT_EQ(sweep.seeds.size(), row.seeds) << file;
    EXPECT_EQ(sweep.shared.budget.steps, row.steps) << file;
    names.insert(absl::StrCat(row.name, ".yaml"));
  }
  for (const auto& entry : std::filesystem::directory_iterator(SEEDBED_SOURCE_DIR "/studies")) {
    EXPECT_EQ(names.count(entry.path().filename()), 1u) << entry.path() << " is not in the table of this test";
  }
}

TEST(Studies, TheirTransformerIsThePapers) {
  const Sweep sweep = Parsed(ReadFile("studies/architecture.yaml"), "architecture.yaml");
  EXPECT_EQ(sweep.configurations[0].parameters_json,
            R"({"implementation":"auto","model.activation":"gelu","model.causal":false,"model.depth":1,)"
            R"("model.equals_token":false,"model.feed_forward":2048,"model.final_norm":false,"model.heads":4,)"
            R"("model.init_scale":1.0,"model.kind":"transformer","model.layer_norm":true,"model.norm":"pre",)"
            R"("model.position_scale":0.02,"model.readout":"mean","model.width":512,"optimizer.beta1":0.9,)"
            R"("optimizer.beta2":0.999,"optimizer.clip_norm":1.0,"optimizer.epsilon":1e-08,"optimizer.kind":"adamw",)"
            R"("optimizer.learning_rate":0.001,"optimizer.weight_decay":1.0,"precision":"float32","task.modulus":97,)"
            R"("task.operation":"add","task.pairs":"ordered","task.split_seed":0,"task.train_fraction":0.2})");
}

TEST(Documentation, NamesEveryParameterAndWhatIdentityLeavesOut) {
  const std::string page = ReadFile("docs/sweep-file.md");
  const size_t table = page.find("| parameter | values | default |");
  const size_t end = page.find("\n\n", table);
  const size_t identity = page.find("- A configuration is its parameters");
  ASSERT_NE(identity, std::string::npos);
  const std::string left_out = page.substr(identity, page.find("Key order", identity) - identity);
  for (const ParameterDefinition& definition : FindTrainer("modular")->parameters) {
    const std::string name = absl::StrCat("`", definition.name, "`");
    EXPECT_LT(page.find(name, table), end) << name;
    EXPECT_EQ(absl::StrContains(left_out, name), definition.left_out_at_default) << name;
    for (const std::string& choice : definition.choices) {
      EXPECT_LT(page.find(absl::StrCat("`", choice, "`"), table), end) << choice;
    }
  }
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
