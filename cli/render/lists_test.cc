#include "cli/render/lists.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "cli/render/text_width.h"

namespace seedbed::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(Workers, SayWhenTheyWereSeenOnlyWhereThatIsKnown) {
  constexpr int64_t kNow = 1'700'000'000'000'000;
  const auto workers = Parse<v1::ListWorkersResponse>(R"pb(
    workers { name: "heard" state: WORKER_STATE_ACTIVE seconds_since_seen: 0 worker_id: "a" }
    workers { name: "long ago" state: WORKER_STATE_GONE seconds_since_seen: 7300 worker_id: "b" }
    workers { name: "before" state: WORKER_STATE_ACTIVE worker_id: "c" }
    workers { name: "left" state: WORKER_STATE_GONE state_changed_at: 1699999700000000 worker_id: "d" }
  )pb");
  const std::vector<std::string> lines = Lines(RenderWorkers(workers, kNow, Style{}));
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_THAT(lines[1], HasSubstr("0s ago  a"));
  EXPECT_THAT(lines[2], HasSubstr("2h ago  b"));
  EXPECT_THAT(lines[3], HasSubstr("unknown  c"));
  EXPECT_THAT(lines[4], HasSubstr("gone 5m ago  d"));
}

// Eight runs of one sweep, as seen after it has ended: two values each of three parameters.
v1::ListRunsResponse EightRuns() {
  v1::ListRunsResponse runs;
  for (int i = 0; i < 8; ++i) {
    v1::RunSummary* run = runs.add_runs();
    run->set_run_id(1001 + i);
    run->set_sweep("a-sweep-with-a-long-name");
    run->set_configuration_id(i + 1);
    run->set_seed(0);
    run->set_state(v1::RUN_STATE_FINISHED);
    run->set_outcome(i % 2 == 0 ? "grokked" : "not_memorised");
    run->set_last_step(123456);
    run->set_attempts(1);
    run->set_worker("node-17.cluster-4711");
    run->set_reason("stop rule test_accuracy");
    run->set_started_at(1);
    run->set_ended_at(4'000'001);
    run->set_varied_json(std::string(R"({"model.initial_scale":)") + (i / 4 == 0 ? "1.0" : "8.0") +
                         R"(,"optimizer.learning_rate":)" + (i / 2 % 2 == 0 ? "0.001" : "0.003") +
                         R"(,"optimizer.weight_decay":)" + (i % 2 == 0 ? "0.1" : "1.0") + "}");
  }
  return runs;
}

TEST(Runs, CanBeToldApartOnANarrowTerminal) {
  const v1::ListRunsResponse runs = EightRuns();
  for (const int width : {60, 80, 100, 120}) {
    const std::vector<std::string> lines = Lines(RenderRuns(runs, Style{false, width}));
    std::set<std::string> configurations;
    for (size_t i = lines.size() - 8; i < lines.size(); ++i) {
      EXPECT_LE(DisplayWidth(lines[i]), width);
      configurations.insert(lines[i].substr(4));  // without the run's id
      EXPECT_THAT(lines[i], Not(HasSubstr("…"))) << width;
    }
    EXPECT_EQ(configurations.size(), 8u) << "at " << width << " columns:\n" << RenderRuns(runs, Style{false, width});
    for (const std::string& line : lines) EXPECT_LE(DisplayWidth(line), width);
    EXPECT_THAT(lines[0], HasSubstr("sweep a-sweep-with-a-long-name")) << "what is the same in all is said once";
  }
}

TEST(Runs, AreWholeWhereThereIsRoomOrNoTerminal) {
  const v1::ListRunsResponse runs = EightRuns();
  for (const Style& style : {Style{}, Style{false, 250}}) {
    const std::vector<std::string> lines = Lines(RenderRuns(runs, style));
    ASSERT_EQ(lines.size(), 9u);
    EXPECT_EQ(lines[1],
              "1001  a-sweep-with-a-long-name  initial_scale=1 learning_rate=0.001 weight_decay=0.1     0  finished  "
              "grokked          123,456         1  4.0s  node-17.cluster-4711  stop rule test_accuracy");
  }
}

TEST(Runs, ThatNeverBeganHaveNoStep) {
  v1::GetRunResponse detail;
  *detail.mutable_run() = EightRuns().runs(0);
  detail.mutable_run()->set_state(v1::RUN_STATE_CANCELLED);
  detail.mutable_run()->set_last_step(-1);
  detail.mutable_run()->set_worker("w");
  detail.add_attempts()->set_last_step(-1);
  EXPECT_THAT(RenderRun(detail, Style{}), Not(HasSubstr(" -1")));
  v1::ListRunsResponse runs;
  *runs.add_runs() = detail.run();
  EXPECT_THAT(RenderRuns(runs, Style{}), Not(HasSubstr(" -1")));
}

TEST(Runs, OfDifferentSweepsKeepTheirNames) {
  v1::ListRunsResponse runs = EightRuns();
  runs.mutable_runs(3)->set_sweep("b");
  runs.mutable_runs(3)->set_varied_json("{}");
  const std::vector<std::string> lines = Lines(RenderRuns(runs, Style{false, 80}));
  EXPECT_THAT(lines[lines.size() - 5], HasSubstr("b  ")) << RenderRuns(runs, Style{false, 80});
  for (const std::string& line : lines) EXPECT_LE(DisplayWidth(line), 80);
}

}  // namespace
}  // namespace seedbed::cli
