// Documents that are no sweep at all, or that try to cost more than they should.
#include "common/sweep_file/yaml_reader.h"

#include <ctime>
#include <string>

#include "common/sweep_file/sweep.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seedbed {
namespace {

using ::testing::HasSubstr;

constexpr int kMebibyte = 1 << 20;

std::string Repeat(const std::string& text, int count) {
  std::string repeated;
  repeated.reserve(text.size() * count);
  for (int i = 0; i < count; ++i) repeated += text;
  return repeated;
}

absl::Status StatusOf(const std::string& text) {
  return ParseSweep(text, "s.yaml").status();
}

TEST(YamlReader, RefusesWhatIsNoDocument) {
  const struct {
    std::string text;
    const char* expected;
  } rows[] = {
      {"", "s.yaml:1:1: the file is empty"},
      {"\n\n# only a comment\n", "s.yaml:1:1: the file is empty"},
      {"---\n", "s.yaml:1:1: the file is empty"},
      {"- a\n", "s.yaml:1:1: expected a map of the sweep's keys (name, parameters, budget, …), got a list"},
      {"just text", "s.yaml:1:1: expected a map of the sweep's keys (name, parameters, budget, …), got 'just text'"},
      {"name: a\n---\nname: b\n", "s.yaml:2:1: a second document"},
      {"name: a\n]\n", "s.yaml:2:1: not YAML: "},
      {"name: [a\n", "s.yaml:1:7: a [ that is never closed"},
      {"name: a\nzip: [[[[\n", "s.yaml:2:9: a [ that is never closed"},
      {"name: a\nparameters:\n  model.width: {values: [8, 16}\n", "s.yaml:3:25: a [ that is never closed"},
      {"name: a\nbudget: {steps: 10\n", "s.yaml:2:9: a { that is never closed"},
      {"name: \"a\nbudget: {steps: 10}\n", "s.yaml:1:7: a quote that is never closed"},
      {"name: a\nbudget: {steps: 'b}\n", "s.yaml:2:17: a quote that is never closed"},
      {"\xef\xbb\xbfname: a\ndescription: 'it''s\n", "s.yaml:2:14: a quote that is never closed"},
      {"name: a\n  b: c\n", "s.yaml:2:4: not YAML: "},
      {"name: a\n\tseeds: 1\n", "s.yaml:2:1: a tab in the indentation; expected spaces"},
      {"name: *nowhere\n", "s.yaml:1:7: not YAML: the referenced anchor is not defined"},
      {"name: &a [*a]\n", "s.yaml:1:11: an alias to something that contains it"},
      {"name: &a {<<: *a}\n", "s.yaml:1:15: an alias to something that contains it"},
      {"name: {<<: 3}\n", "s.yaml:1:8: expected an alias of a map"},
      {"name: !!python/object:os.system x\n", "s.yaml:1:7: unknown tag 'tag:yaml.org,2002:python/object:os.system'"},
      {"? [a, b]\n: c\n", "s.yaml:1:3: expected a key, got a list"},
      {"name: a\n~: b\n", "s.yaml:2:1: expected a key, got nothing"},
      {std::string("name: a\0b\n", 10), "s.yaml:1:8: a control character (0)"},
      {"name: a\n  # \xff\n", "s.yaml:2:5: a byte that is not UTF-8"},
      {"name: \xc3\n", "s.yaml:1:7: a byte that is not UTF-8"},
      {"\xff\xfen\0a\0", "s.yaml:1:1: a byte that is not UTF-8"},
      {"name: a\nname: b\n", "s.yaml:2:1: key 'name' stands here twice; the first is on line 1"},
      {"name: a\nmetric: {name: test_loss, goal: minimize, name: x}\n", "s.yaml:2:43: key 'name' stands here twice"},
      {"name: a\n\"name\": b\n", "s.yaml:2:1: key 'name' stands here twice"},
  };
  for (const auto& row : rows) {
    const absl::Status status = StatusOf(row.text);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << row.text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.expected)) << row.text;
  }
}

TEST(YamlReader, TakesTheFormsThatEditorsWrite) {
  EXPECT_TRUE(StatusOf("\xef\xbb\xbfname: a\nbudget: {steps: 1}\n").ok());  // byte order mark
  EXPECT_TRUE(StatusOf("name: a\r\nbudget: {steps: 1}\r\n").ok());          // DOS line ends
  EXPECT_TRUE(StatusOf("---\nname: a\nbudget: {steps: 1}\n...\n").ok());    // explicit document
  EXPECT_TRUE(StatusOf("name: a\nbudget: {steps: 1}\t# a tab, elsewhere").ok());
  EXPECT_TRUE(StatusOf("{\"name\": \"a\", \"budget\": {\"steps\": 1}}").ok());  // JSON
  EXPECT_TRUE(StatusOf("name: !!str a\nbudget: {steps: !!int 1}\n").ok());
}

TEST(YamlReader, MergesMaps) {
  const absl::StatusOr<Sweep> sweep = ParseSweep(
      "name: a\n"
      "metrics: &first {log_every: 7, evaluate_every: 8}\n"
      "budget: {steps: 1}\n"
      "parameters:\n"
      "  model.width: &width {value: 5}\n"
      "  model.depth: {<<: *width, value: 6}\n"       // its own key wins
      "  task.modulus: {<<: [*width, {value: 9}]}\n"  // the first of a list wins
      "  task.split_seed: *width\n",
      "s.yaml");
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  const Json parameters = Json::parse(sweep->configurations[0].parameters_json);
  EXPECT_EQ(parameters["model.width"], 5);
  EXPECT_EQ(parameters["model.depth"], 6);
  EXPECT_EQ(parameters["task.modulus"], 5);
  EXPECT_EQ(parameters["task.split_seed"], 5);
  EXPECT_EQ(sweep->shared.metrics.log_every, 7);
}

TEST(YamlReader, RefusesByTheLimits) {
  std::string aliases = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n";
  std::string merges = "a0: &a0 {x0: 1}\n";
  for (int i = 1; i < 40; ++i) {
    const std::string now = std::to_string(i);
    const std::string last = "*a" + std::to_string(i - 1);
    aliases += "a" + now + ": &a" + now + " [" + last + Repeat(", " + last, 8) + "]\n";
    merges += "a" + now + ": &a" + now + " {<<: [" + last + ", " + last + "], x" + now + ": " + last + "}\n";
  }
  const struct {
    std::string text;
    const char* expected;
  } rows[] = {
      {std::string(100 * kMebibyte, 'a'), "s.yaml:1:1: the file is too large; expected at most 4194304 bytes"},
      {aliases, "more than 1000000 values, with aliases followed"},
      {merges, "more than 1000000 values, with aliases followed"},
      {"name: [" + Repeat("1,", 1'100'000) + "1]", "more than 1000000 values"},
      {Repeat("- ", 100'000), "s.yaml:1:129: nested deeper than 64 levels"},
      {"name: " + Repeat("[", 500) + Repeat("]", 500), "nested deeper than 64 levels"},
      {"name: " + Repeat("{a: ", 100) + "1" + Repeat("}", 100), "nested deeper than 64 levels"},
  };
  for (const auto& row : rows) {
    const std::clock_t start = std::clock();
    const absl::Status status = StatusOf(row.text);
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.expected));
    EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 10);
  }
}

// Each is refused, whatever the reason given, without exhausting the stack or the day.
TEST(YamlReader, SurvivesHalfAMegabyteOfOneThing) {
  for (const char* piece :
       {"[",     "{",   "[{", "[\n", "- ",      "? ",  "a: ", "a:\n ", "!", "&",   "*",    "*a ", "&a ", "%TAG ! a\n",
        "---\n", "|\n", "\"", "'",   "\"a\": ", "#\n", "\n",  "  ",    ",", "a\n", "<<: ", "- [", "a: {"}) {
    const std::clock_t start = std::clock();
    EXPECT_FALSE(StatusOf(Repeat(piece, kMebibyte / 2 / std::string(piece).size())).ok()) << piece;
    EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 10) << piece;
  }
}

// Cutting or bending a valid file anywhere gives a sweep or a status, never an exception or a crash.
TEST(YamlReader, SurvivesDamagedFiles) {
  const std::string valid =
      "name: a\nbudget: {steps: 5, time: 1h}\nseeds: [1, 2]\nstop:\n  - {metric: test_loss, at_most: 1e-3, held_for: "
      "2}\n"
      "parameters:\n  model: &m\n    parameters:\n      width: {values: [8, 16]}\n  optimizer.kind: {value: \"sgd\"}\n"
      "zip:\n  - {model.depth: [1, 2], task.modulus: [5, 7]}\nexclude: [{model.width: 8, model.depth: 2}]\n";
  ASSERT_TRUE(StatusOf(valid).ok()) << StatusOf(valid);
  int refused = 0;
  for (size_t at = 0; at < valid.size(); ++at) {
    refused += !StatusOf(valid.substr(0, at)).ok();
    for (const char bent : {'[', '}', ':', '-', '\n', '&', '*', '"', '\xff', '#'}) {
      std::string text = valid;
      text[at] = bent;
      refused += !StatusOf(text).ok();
    }
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace seedbed
