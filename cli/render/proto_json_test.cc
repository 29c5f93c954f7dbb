#include "cli/render/proto_json.h"

#include <gtest/gtest.h>

#include <limits>

namespace seedbed::cli {
namespace {

TEST(ProtoJson, NamesStatesAsPeopleDo) {
  EXPECT_EQ(StateName(v1::RUN_STATE_QUEUED), "queued");
  EXPECT_EQ(StateName(v1::SWEEP_STATE_PAUSED), "paused");
  EXPECT_EQ(StateName(v1::WORKER_STATE_QUARANTINED), "quarantined");
  EXPECT_EQ(EndName(v1::ATTEMPT_END_OUT_OF_MEMORY), "out_of_memory");
  EXPECT_EQ(EndName(v1::ATTEMPT_END_UNSPECIFIED), "");
  EXPECT_EQ(StateName(static_cast<v1::RunState>(99)), "unknown");  // of a newer coordinator
  v1::RunState state = v1::RUN_STATE_UNSPECIFIED;
  EXPECT_TRUE(RunStateFromName("cancelled", &state));
  EXPECT_EQ(state, v1::RUN_STATE_CANCELLED);
  EXPECT_FALSE(RunStateFromName("", &state));
  EXPECT_FALSE(RunStateFromName("done", &state));
}

TEST(ProtoJson, OpensJsonTextAndMarksWhatIsNotThere) {
  v1::RunSummary run;
  run.set_run_id(17);
  run.set_sweep("goldilocks");
  run.set_state(v1::RUN_STATE_RUNNING);
  run.set_varied_json(R"({"b":1,"a":0.5})");
  run.set_started_at(1'700'000'000'000'001);
  const OrderedJson json = ToJson(run);
  EXPECT_EQ(json["run_id"], 17);
  EXPECT_EQ(json["varied"]["a"], 0.5);
  EXPECT_TRUE(json["outcome"].is_null());
  EXPECT_TRUE(json["summary"].is_null());
  EXPECT_TRUE(json["ended_at"].is_null());
  EXPECT_EQ(json["last_step"], 0);
  EXPECT_EQ(json["started_at"], "2023-11-14T22:13:20.000001Z");
}

TEST(ProtoJson, HasNoStepWhereNoneWasReported) {
  v1::RunSummary run;
  run.set_last_step(-1);
  EXPECT_TRUE(ToJson(run)["last_step"].is_null());
  v1::AttemptSummary attempt;
  attempt.set_last_step(-1);
  EXPECT_TRUE(ToJson(attempt)["last_step"].is_null());
  v1::ProgressResponse progress;
  progress.add_ended()->set_last_step(-1);
  EXPECT_TRUE(ToJson(progress)["ended"][0]["last_step"].is_null());
}

TEST(ProtoJson, KnowsNotWhenAWorkerWasSeenWhoWasNotHeardOf) {
  v1::WorkerSummary worker;
  EXPECT_TRUE(ToJson(worker)["seconds_since_seen"].is_null());
  worker.set_seconds_since_seen(0);
  EXPECT_EQ(ToJson(worker)["seconds_since_seen"], 0);
}

TEST(ProtoJson, KeepsMediansThatAreAbsentApartFromZero) {
  v1::ConfigurationSummary configuration;
  configuration.set_median_t_train(0);
  configuration.set_median_delay(12.5);
  const OrderedJson json = ToJson(configuration);
  EXPECT_EQ(Dump(json["median_t_train"]), "0");
  EXPECT_TRUE(json["median_t_test"].is_null());
  EXPECT_EQ(Dump(json["median_delay"]), "12.5");
}

TEST(ProtoJson, HasAFormForEveryValueOfTheDatabase) {
  v1::Value value;
  EXPECT_EQ(Dump(ToJson(value)), "null");
  value.set_integer(std::numeric_limits<int64_t>::max());
  EXPECT_EQ(Dump(ToJson(value)), "9223372036854775807");
  value.set_real(-std::numeric_limits<double>::infinity());
  EXPECT_EQ(Dump(ToJson(value)), "\"-Infinity\"");
  value.set_real(0.1);
  EXPECT_EQ(Dump(ToJson(value)), "0.1");
  value.set_text("a\"b");
  EXPECT_EQ(Dump(ToJson(value)), "\"a\\\"b\"");
  value.set_blob(std::string("\x00\xff", 2));
  EXPECT_EQ(Dump(ToJson(value)), "\"00ff\"");
  value.set_is_null(true);
  EXPECT_EQ(Dump(ToJson(value)), "null");
}

TEST(ProtoJson, DumpsAnyBytes) {
  EXPECT_EQ(Dump(OrderedJson{{"a", "\xff"}}), "{\"a\":\"\uFFFD\"}");
}

}  // namespace
}  // namespace seedbed::cli
