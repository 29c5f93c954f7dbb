#include "worker/process/engine_messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"

namespace seedbed {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename T>
T Parse(const std::string& line) {
  absl::StatusOr<EngineMessage> message = ParseEngineMessage(line);
  EXPECT_TRUE(message.ok()) << message.status();
  if (!message.ok() || !std::holds_alternative<T>(*message)) {
    ADD_FAILURE() << "not the type expected: " << line;
    return T();
  }
  return std::get<T>(*std::move(message));
}

TEST(ParseEngineMessageTest, ReadsReady) {
  const auto ready = Parse<EngineReady>(
      R"({"type":"ready","protocol":1,"engine":"e 2","trainers":["modular"],"capacity":4,"device":"cuda:0",)"
      R"("memory_bytes":17179869184,"numerics":{"torch":"1.13"},"pack_parameters":["optimizer.learning_rate"],"checkpoints":false,"new":1})");
  EXPECT_FALSE(ready.checkpoints);
  EXPECT_EQ(ready.engine, "e 2");
  EXPECT_THAT(ready.trainers, ElementsAre("modular"));
  EXPECT_EQ(ready.capacity, 4);
  EXPECT_EQ(ready.device, "cuda:0");
  EXPECT_EQ(ready.memory_bytes, 17179869184);
  EXPECT_EQ(CanonicalJson(ready.numerics), R"({"torch":"1.13"})");
  EXPECT_THAT(ready.pack_parameters, ElementsAre("optimizer.learning_rate"));
}

TEST(ParseEngineMessageTest, ReadsMetricsWithGapsAndNonFiniteValues) {
  const std::string line =
      R"({"type":"metrics","run":7,"steps":[0,5,6],"values":{"loss":[1.5,"NaN","-Infinity"],"acc":[null,2,null]}})";
  const auto metrics = Parse<AttemptMetrics>(line);
  EXPECT_EQ(metrics.attempt, AttemptId(7));
  EXPECT_THAT(metrics.steps, ElementsAre(0, 5, 6));
  EXPECT_EQ(metrics.bytes, static_cast<int64_t>(line.size()));
  ASSERT_EQ(metrics.columns.size(), 2u);
  EXPECT_EQ(metrics.columns[0].name, "acc");
  EXPECT_THAT(metrics.columns[0].values, ElementsAre(std::nullopt, 2.0, std::nullopt));
  EXPECT_EQ(metrics.columns[1].values[0], 1.5);
  EXPECT_TRUE(std::isnan(*metrics.columns[1].values[1]));
  EXPECT_EQ(metrics.columns[1].values[2], -INFINITY);
}

TEST(ParseEngineMessageTest, ReadsTheSmallMessages) {
  EXPECT_EQ(Parse<AttemptAlive>(R"({"type":"alive","run":1,"step":9})").step, 9);
  EXPECT_EQ(Parse<EngineBusy>(R"({"type":"busy","run":1,"seconds":2.5,"reason":"loading"})").duration,
            absl::Milliseconds(2500));
  EXPECT_EQ(Parse<EngineStopped>(R"({"type":"stopped","run":1,"last_step":12})").last_step, 12);
  EXPECT_TRUE(Parse<EngineFailed>(R"({"type":"failed","run":1,"reason":"x","kind":"out_of_memory"})").out_of_memory);
  EXPECT_FALSE(Parse<EngineFailed>(R"({"type":"failed","run":1,"reason":"x","kind":"error"})").out_of_memory);
  EXPECT_EQ(Parse<EngineFailed>(R"({"type":"failed","run":1,"reason":"x","kind":"error"})").pack, 0);
  EXPECT_EQ(Parse<EngineFailed>(R"({"type":"failed","run":1,"reason":"x","kind":"out_of_memory","pack":64})").pack, 64);
  const auto finished = Parse<EngineFinished>(
      R"({"type":"finished","run":1,"outcome":"grokked","reason":"budget","last_step":3,"summary":{"delay":2}})");
  EXPECT_EQ(finished.outcome, "grokked");
  EXPECT_EQ(finished.summary["delay"], 2);
  const std::string sum(64, 'a');
  EXPECT_EQ(Parse<AttemptCheckpoint>(R"({"type":"checkpoint","run":1,"step":3,"path":"/d/c","sha256":")" + sum + "\"}")
                .sha256,
            sum);
}

TEST(ParseEngineMessageTest, SaysWhatIsWrong) {
  struct {
    std::string line;
    const char* message;
  } const cases[] = {
      {"", "not valid JSON"},
      {"nonsense", "not valid JSON"},
      {"{\"type\":\"alive\",\"run\":1,\"step\":1", "not valid JSON"},
      {"{\"type\":\"al\xff\"}", "not valid JSON"},
      {"[1]", "not a JSON object"},
      {"{}", "no \"type\""},
      {R"({"type":7})", "no \"type\""},
      {R"({"type":"dance"})", "unknown type \"dance\""},
      {R"({"type":"alive","run":"1","step":1})", "key \"run\": expected an integer"},
      {R"({"type":"alive","run":0,"step":1})", "key \"run\""},
      {R"({"type":"alive","run":1.0,"step":1})", "key \"run\""},
      {R"({"type":"alive","run":18446744073709551615,"step":1})", "key \"run\""},
      {R"({"type":"alive","run":1})", "key \"step\""},
      {R"({"type":"alive","run":1,"step":-1})", "key \"step\""},
      {R"({"type":"metrics","run":1,"steps":[],"values":{}})", "key \"steps\""},
      {R"({"type":"metrics","run":1,"steps":[3,3],"values":{}})", "rising integers"},
      {R"({"type":"metrics","run":1,"steps":[3,2],"values":{}})", "rising integers"},
      {R"({"type":"metrics","run":1,"steps":[-1],"values":{}})", "rising integers"},
      {R"({"type":"metrics","run":1,"steps":[18446744073709551615],"values":{}})", "rising integers"},
      {R"({"type":"metrics","run":1,"steps":[1.5],"values":{}})", "rising integers"},
      {R"({"type":"metrics","run":1,"steps":[1]})", "key \"values\": expected an object"},
      {R"({"type":"metrics","run":1,"steps":[1],"values":{"a":[1,2]}})", "an array of 1 values for a"},
      {R"({"type":"metrics","run":1,"steps":[1],"values":{"a":1}})", "an array of 1 values for a"},
      {R"({"type":"metrics","run":1,"steps":[1],"values":{"a b":[1]}})", "metric names"},
      {R"({"type":"metrics","run":1,"steps":[1],"values":{"":[1]}})", "metric names"},
      {R"({"type":"metrics","run":1,"steps":[1],"values":{"a":["nan"]}})", "\"NaN\""},
      {R"({"type":"metrics","run":1,"steps":[1],"values":{"a":[true]}})", "\"NaN\""},
      {R"({"type":"busy","run":1,"seconds":-1})", "key \"seconds\""},
      {R"({"type":"busy","run":1,"seconds":1e9})", "key \"seconds\""},
      {R"({"type":"busy","run":1,"seconds":"NaN"})", "key \"seconds\""},
      {R"({"type":"checkpoint","run":1,"step":1,"path":"/a","sha256":"AB"})", "64 lower-case"},
      {R"({"type":"finished","run":1,"outcome":"","reason":"b","last_step":1,"summary":{}})", "key \"outcome\""},
      {R"({"type":"finished","run":1,"outcome":"x","reason":"b","last_step":1,"summary":[]})", "key \"summary\""},
      {R"({"type":"failed","run":1,"reason":"x","kind":"tired"})", "key \"kind\""},
      {R"({"type":"ready","protocol":2})", "speaks protocol 2"},
      {R"({"type":"ready","protocol":1,"engine":"e","trainers":[],"capacity":1,"device":"cpu","numerics":{},)"
       R"("pack_parameters":[]})",
       "at least one trainer"},
      {R"({"type":"ready","protocol":1,"engine":"e","trainers":["m"],"capacity":0,"device":"cpu","numerics":{},)"
       R"("pack_parameters":[]})",
       "key \"capacity\""},
      {R"({"type":"ready","protocol":1,"engine":"e","trainers":["m"],"capacity":1,"device":"cpu","numerics":1,)"
       R"("pack_parameters":[]})",
       "key \"numerics\""},
      {absl::StrCat(R"({"type":"ready","protocol":1,"engine":"e","trainers":["m","n"],"capacity":1,"device":"cpu",)",
                    R"("numerics":{"cpu":")", std::string(8 << 10, 'x'), R"("},"pack_parameters":[]})"),
       "at most 16384 bytes, not 16406"},
  };
  for (const auto& each : cases) {
    const absl::StatusOr<EngineMessage> message = ParseEngineMessage(each.line);
    ASSERT_FALSE(message.ok()) << each.line;
    EXPECT_EQ(message.status().code(), absl::StatusCode::kInvalidArgument) << each.line;
    EXPECT_THAT(std::string(message.status().message()), HasSubstr(each.message)) << each.line;
  }
}

TEST(ParseEngineMessageTest, SurvivesDeepNesting) {
  const std::string deep(1'000'000, '[');
  EXPECT_FALSE(ParseEngineMessage(deep).ok());
  EXPECT_FALSE(ParseEngineMessage("{\"type\":" + deep + std::string(1'000'000, ']') + "}").ok());
}

TEST(EngineLinesTest, AreOneJsonObjectEach) {
  AttemptStart start;
  start.attempt = AttemptId(3);
  start.specification = {{"trainer", "modular"}, {"note", "two\nlines"}};
  start.directory = "/d";
  EXPECT_EQ(StartLine(start), R"({"directory":"/d","final_checkpoint":false,"resume":null,"run":3,)"
                              R"("specification":{"note":"two\nlines","trainer":"modular"},)"
                              R"("type":"start"})"
                              "\n");
  start.resume = "/d/c";
  EXPECT_EQ(Json::parse(StartLine(start))["resume"], "/d/c");
  EXPECT_EQ(CheckpointLine(AttemptId(3)), "{\"run\":3,\"type\":\"checkpoint\"}\n");
  EXPECT_EQ(StopLine(AttemptId(3), true), "{\"checkpoint\":true,\"run\":3,\"type\":\"stop\"}\n");
  EXPECT_EQ(ShutdownLine(), "{\"type\":\"shutdown\"}\n");
}

}  // namespace
}  // namespace seedbed
