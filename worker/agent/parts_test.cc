#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/agent/agent_loop.h"
#include "worker/agent/backoff.h"
#include "worker/agent/engine_slots.h"
#include "worker/agent/log_buffer.h"
#include "worker/agent/testing/agent_world.h"
#include "worker/agent/valid_text.h"

namespace seedbed::agent {
namespace {

TEST(BackoffTest, DoublesUpToItsMostTimesAFactorOfAHalfToOne) {
  double draw = 0;
  Backoff backoff(absl::Seconds(1), absl::Seconds(5), [&draw] { return draw; });
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(500));
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(1000));
  draw = 0.5;
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(3000));
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(3750));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(backoff.Next(), absl::Milliseconds(3750));
  backoff.Reset();
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(750));
}

TEST(LogBufferTest, KeepsABoundedPartOfWhatMayNotHaveArrivedAndCountsTheRest) {
  LogBuffer buffer;
  const std::string first(40'000, 'x');
  const std::string second(40'000, 'y');
  buffer.Add(first);
  EXPECT_EQ(buffer.Take(1), first);
  buffer.Add(second);
  EXPECT_EQ(buffer.Take(1), second);
  const std::string broke = "\n[seedbed: the connection to the coordinator broke: ";
  const std::string again = broke + "up to 14464 bytes are missing here]\n" + broke +
                            "the next 65536 bytes may be here twice]\n" + first.substr(14'464) + second;
  for (int i = 0; i < 2; ++i) {
    buffer.StreamBroke();
    EXPECT_EQ(buffer.Take(1), again) << "the marks may not have arrived either";
  }
  buffer.Acknowledge(0);
  buffer.StreamBroke();
  EXPECT_EQ(buffer.Take(2), again);
  buffer.Acknowledge(2);
  buffer.StreamBroke();
  EXPECT_TRUE(buffer.empty());
}

TEST(ValidTextTest, ReplacesEachBadByte) {
  struct Case {
    std::string text;
    std::string valid;
  };
  for (const Case& c : {Case{"", ""}, Case{"plain", "plain"}, Case{"λ é", "λ é"}, Case{"a\xff", "a?"},
                        Case{"\xff\xfe"
                             "b",
                             "??b"},
                        Case{"cut \xce", "cut ?"}, Case{"\xc0\x80", "??"}}) {
    EXPECT_EQ(ValidText(c.text), c.valid);
  }
}

TEST(BoundedTextTest, IsCutBetweenTwoCharactersAndSaysSo) {
  struct Case {
    std::string text;
    std::string bounded;
  };
  for (const Case& c :
       {Case{"", ""}, Case{"0123456789", "0123456789"}, Case{"a\xff", "a?"}, Case{"0123456789a", "0123 [...]"},
        Case{"012λ6789ab", "012 [...]"}, Case{"01λ456789ab", "01λ [...]"}, Case{std::string(11, '\x80'), " [...]"}}) {
    EXPECT_EQ(BoundedText(c.text, 10), c.bounded);
  }
}

TEST(LastLineTest, IsTheLastThatIsNotBlank) {
  struct Case {
    std::string log;
    std::string line;
  };
  for (const Case& c : {Case{"", ""}, Case{" \n\n", ""}, Case{"one", "one"}, Case{"one\ntwo\n", "two"},
                        Case{"one\r\ntwo \r\n \n", "two"}, Case{std::string(400, 'x'), std::string(300, 'x')}}) {
    EXPECT_EQ(LastLine(c.log), c.line);
  }
}

TEST(EngineSlotsTest, AnEngineWithCompanyIsChosenElseTheEmptiest) {
  const absl::Duration now = absl::Seconds(10);
  EngineSlots engines(3, 6, {});
  const PackNeeds alike{};
  EXPECT_EQ(engines.Choose(now, alike), std::nullopt);
  EngineReady info;
  info.trainers = {"modular"};
  info.capacity = 2;
  engines.BecameReady(0, info);
  info.capacity = 3;
  engines.BecameReady(2, info);
  EXPECT_EQ(engines.capacity(), 5);
  EXPECT_EQ(engines.Choose(now, alike), 2);
  engines.Take(2, AttemptId(1), alike);
  engines.Take(2, AttemptId(2), alike);
  EXPECT_EQ(engines.Choose(now, alike), 2) << "it has company there";
  engines.Avoid(2, now + absl::Seconds(1));
  EXPECT_EQ(engines.Choose(now, alike), 0);
  EXPECT_EQ(engines.AvoidedUntil(now), now + absl::Seconds(1));
  EXPECT_EQ(engines.Choose(now + absl::Seconds(1), alike), 2);
  engines.WentDown(2);
  EXPECT_EQ(engines.Choose(now + absl::Seconds(1), alike), 0);
  EXPECT_EQ(engines.taken(), 2) << "the ends of its attempts are still to come";
  engines.Release(AttemptId(1));
  engines.Release(AttemptId(2));
  EXPECT_EQ(engines.taken(), 0);
}

TEST(EngineSlotsTest, NeverMoreThanTheSlots) {
  EngineSlots engines(1, 2, {});
  EngineReady info;
  info.trainers = {"modular"};
  info.capacity = 8;
  engines.BecameReady(0, info);
  EXPECT_EQ(engines.capacity(), 2);
  engines.Take(0, AttemptId(1), {});
  engines.Take(0, AttemptId(2), {});
  EXPECT_EQ(engines.Choose(absl::ZeroDuration(), {}), std::nullopt);
}

AttemptMetrics Rows(int64_t first, int64_t count, int metrics, const std::string& prefix) {
  AttemptMetrics rows;
  for (int64_t row = 0; row < count; ++row) rows.steps.push_back(first + row);
  for (int metric = 0; metric < metrics; ++metric) {
    rows.columns.push_back({absl::StrCat(prefix, metric), std::vector<std::optional<double>>(rows.steps.size(), 1.0)});
  }
  return rows;
}

// The bytes of a report's values and flags: what grows where rows lack metrics that others have.
int64_t ValueBytes(const ReportBody& body) {
  return static_cast<int64_t>(body.rows.series.size() * body.rows.steps.size()) * 9;
}

TEST(ReportQueueTest, RowsWithoutEachOthersMetricsMakeNoLongReport) {
  struct Case {
    int64_t rows_before;
    int metrics_before;
    int64_t rows_after;
    int metrics_after;
  };
  for (const Case& c : {Case{15'000, 1, 1, 1000}, Case{1, 1000, 15'000, 1}, Case{10, 100, 1'000, 100}}) {
    ReportQueue queue;
    queue.AddRows(Rows(0, c.rows_before, c.metrics_before, "early_"), absl::ZeroDuration());
    queue.AddRows(Rows(c.rows_before, c.rows_after, c.metrics_after, "late_"), absl::Seconds(1));
    queue.Seal();
    int64_t rows = 0;
    for (; const auto body = queue.NextToSend(); queue.MarkSent()) {
      rows += static_cast<int64_t>(body->rows.steps.size());
      EXPECT_LE(ValueBytes(*body), 3 * ReportQueue::kReportBytes) << body->rows.series.size() << " metrics";
    }
    EXPECT_EQ(rows, c.rows_before + c.rows_after);
  }
}

TEST(ReportQueueTest, FewRowsWithoutEachOthersMetricsAreOneReport) {
  ReportQueue queue;
  queue.AddRows(Rows(0, 10, 2, "early_"), absl::ZeroDuration());
  queue.AddRows(Rows(10, 10, 2, "late_"), absl::Seconds(1));
  EXPECT_EQ(queue.gathering_since(), absl::ZeroDuration());
  queue.Seal();
  EXPECT_EQ(queue.last_sequence(), 1);
}

// The loop is the one place with a thread: what is posted reaches the agent, and the loop ends with it.
TEST(AgentLoopTest, FeedsTheAgentUntilItIsDone) {
  World world;
  SystemClock clock;
  AgentLoop loop(&clock);
  std::thread thread([&] { loop.Run(world.agent.get()); });
  loop.Post(ShutdownRequested{});
  loop.Post(EngineEvent(PoolStopped{}));
  thread.join();
  EXPECT_TRUE(world.agent->done());
  EXPECT_TRUE(world.agent->failure().ok());
  EXPECT_EQ(world.Commanded(), "shutdown");
}

std::string Shown(const std::vector<EngineRoom>& rooms) {
  std::string text;
  for (const EngineRoom& room : rooms) {
    text += std::to_string(room.occupied) + room.pack_key + "+" + std::to_string(room.free_slots) + " ";
  }
  return text;
}

TEST(EngineSlotsTest, APackTakesRunsOfItsKeyWithinTheirLimits) {
  const absl::Duration now = absl::Seconds(10);
  EngineSlots engines(2, 8, {});
  EngineReady info;
  info.trainers = {"modular"};
  info.capacity = 4;
  engines.BecameReady(0, info);
  engines.BecameReady(1, info);
  EXPECT_TRUE(engines.packs());
  EXPECT_EQ(Shown(engines.Rooms({})), "0+4 0+4 ");
  engines.Take(0, AttemptId(1), {"a", 0});
  EXPECT_EQ(engines.Choose(now, {"a", 0}), 0);
  EXPECT_EQ(engines.Choose(now, {"a", 1}), 1) << "it is to be alone";
  EXPECT_EQ(engines.Choose(now, {"b", 0}), 1);
  EXPECT_EQ(Shown(engines.Rooms({{"a", 0}, {"b", 2}})), "2a+2 1b+1 ");
  engines.Take(0, AttemptId(2), {"a", 2});
  EXPECT_EQ(engines.Choose(now, {"a", 0}), 1) << "the second allows two";
  engines.Take(1, AttemptId(3), {"b", 0});
  EXPECT_EQ(engines.Choose(now, {"a", 0}), std::nullopt);
  EXPECT_EQ(Shown(engines.Rooms({{"c", 0}})), "") << "nothing new until the one that waits has a place";
  engines.Release(AttemptId(3));
  EXPECT_EQ(Shown(engines.Rooms({{"c", 0}})), "2a+0 1c+3 ");
}

}  // namespace
}  // namespace seedbed::agent
