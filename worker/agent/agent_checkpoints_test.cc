// Checkpoints between engines and the coordinator.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/agent/testing/agent_world.h"

namespace seedbed::agent {
namespace {

const std::string kSum(64, 'a');
const char kFetched[] = "/attempts/1-1-1/resume.checkpoint";

void Wrote(World& world, int64_t attempt, int64_t step) {
  AttemptCheckpoint event;
  event.attempt = AttemptId(attempt);
  event.step = step;
  event.path = absl::StrCat("/attempts/", attempt, "/", step);
  event.sha256 = kSum;
  event.numerics = {{"blas", "none"}};
  world.agent->OnEngineEvent(event, world.clock.Now());
}

CheckpointUpload Uploaded(World& world) {
  if (world.link.uploads.empty()) {
    ADD_FAILURE() << "nothing was sent";
    return {};
  }
  CheckpointUpload upload = world.link.uploads.front();
  world.link.uploads.pop_front();
  return upload;
}

void Put(World& world, const CheckpointUpload& upload, CheckpointFate fate, int64_t bytes = 1000) {
  world.agent->OnLinkEvent(CheckpointPut{upload.lease, upload.step, fate, bytes, "because"}, world.clock.Now());
}

LeaseToStart Resumed(LeaseKey key, int64_t step) {
  LeaseToStart start = Granted(key);
  start.resume_step = step;
  return start;
}

void TakeCalls(World& world) {
  while (!world.link.calls.empty()) world.CallAndAnswer();
}

TEST(Checkpoints, AreAskedForByTheClockAndSentOnceTheirRowsAreDurable) {
  World world(1, {}, absl::Seconds(20));
  world.Train({Granted(Key(1))});
  world.Started();
  world.Pass(absl::Seconds(4));
  TakeCalls(world);
  for (int i = 0; i < 3; ++i) {
    world.Pass(absl::Seconds(5));
    TakeCalls(world);
  }
  EXPECT_EQ(world.Commanded(), "nothing");
  world.Pass(absl::Seconds(1));
  TakeCalls(world);
  EXPECT_EQ(world.Commanded(), "checkpoint 1");
  world.Metrics(1, {0, 5});
  Wrote(world, 1, 5);
  world.Metrics(1, {6});
  world.StreamOpened();
  world.Settle();
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 rows 0 5") << "rows beyond the checkpoint are another report's";
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :2 rows 6");
  EXPECT_TRUE(world.link.uploads.empty());
  world.Acknowledge(Key(1), 1);
  const CheckpointUpload upload = Uploaded(world);
  EXPECT_EQ(upload.step, 5);
  EXPECT_EQ(upload.sequence, 1);
  EXPECT_EQ(upload.sha256, kSum);
  EXPECT_EQ(upload.numerics_json, R"({"blas":"none"})");
  Put(world, upload, CheckpointFate::kStored);
  EXPECT_EQ(world.files.removed, std::vector<std::string>{upload.path});
  world.Acknowledge(Key(1), 2);
}

TEST(Checkpoints, ANewerOneReplacesOneThatWaitsAndAFailureIsTriedAgain) {
  World world;
  world.Train({Granted(Key(1))});
  world.Started();
  Wrote(world, 1, 5);
  const CheckpointUpload first = Uploaded(world);
  EXPECT_EQ(first.sequence, 0) << "no row was due before";
  Wrote(world, 1, 6);
  Wrote(world, 1, 7);
  EXPECT_EQ(world.files.removed, std::vector<std::string>{"/attempts/1/6"});
  EXPECT_TRUE(world.link.uploads.empty()) << "one at a time";
  Put(world, first, CheckpointFate::kFailed);
  const CheckpointUpload second = Uploaded(world);
  EXPECT_EQ(second.step, 7) << "the newer one instead";
  Put(world, second, CheckpointFate::kFailed);
  EXPECT_TRUE(world.link.uploads.empty());
  world.Pass(absl::Seconds(1));
  EXPECT_EQ(Uploaded(world).step, 7);
  Put(world, second, CheckpointFate::kNoRoom);
  EXPECT_EQ(world.observer.warnings.size(), 1u);
  world.Pass(absl::Seconds(2));
  EXPECT_TRUE(world.link.uploads.empty());
}

TEST(Checkpoints, OneThatTheCoordinatorWantsIsAskedForOnceHoweverOftenItSaysSo) {
  World world;
  world.Train({Granted(Key(1))});
  world.Started();
  SynchronizeAnswer wanted = world.Desired();
  wanted.checkpoint = {Key(1), Key(7)};  // it does not hold the second
  for (int call = 0; call < 3; ++call) {
    world.Pass(absl::Seconds(5));
    world.CallAndAnswer(wanted);
  }
  EXPECT_EQ(world.Commanded(), "checkpoint 1");
  EXPECT_EQ(world.Commanded(), "nothing");
  Wrote(world, 1, 5);
  world.Pass(absl::Seconds(5));
  world.CallAndAnswer(wanted);
  EXPECT_EQ(world.Commanded(), "nothing") << "it is on its way";
  Put(world, Uploaded(world), CheckpointFate::kStored);
  world.Pass(absl::Seconds(5));
  world.CallAndAnswer(wanted);
  EXPECT_EQ(world.Commanded(), "checkpoint 1") << "the next one";
}

TEST(Checkpoints, TheIntervalGrowsWithTheCost) {
  World world(1, {}, absl::Seconds(2));
  world.Train({Granted(Key(1))});
  world.Started();
  world.Pass(absl::Milliseconds(1850));  // training began 150 ms before: it is asked for now
  EXPECT_EQ(world.Commanded(), "checkpoint 1");
  world.Pass(absl::Milliseconds(40));
  Wrote(world, 1, 1);
  Put(world, Uploaded(world), CheckpointFate::kStored, 60'000'000);
  world.Pass(absl::Milliseconds(2950));
  TakeCalls(world);
  EXPECT_EQ(world.Commanded(), "nothing");
  world.Pass(absl::Milliseconds(1000));
  TakeCalls(world);
  EXPECT_EQ(world.Commanded(), "nothing") << "40 ms in 4 s";
  world.Pass(absl::Milliseconds(20));
  EXPECT_EQ(world.Commanded(), "checkpoint 1");
}

TEST(Checkpoints, TakeNoMoreOfTheNetworkThanTheirRate) {
  for (const int runs : {1, 2}) {
    World world(runs, {}, absl::Seconds(2));
    std::vector<LeaseToStart> leases;
    for (int run = 1; run <= runs; ++run) leases.push_back(Granted(Key(run)));
    world.Train(leases);
    for (int run = 1; run <= runs; ++run) world.Started();
    world.Pass(absl::Milliseconds(1850));
    for (int run = 1; run <= runs; ++run) EXPECT_EQ(world.Commanded(), absl::StrCat("checkpoint ", run));
    Wrote(world, 1, 1);  // at once: it costs the training nothing
    Put(world, Uploaded(world), CheckpointFate::kStored, 100'000'000);
    world.Pass(absl::Seconds(5) * runs - absl::Milliseconds(50));
    TakeCalls(world);
    EXPECT_EQ(world.Commanded(), "nothing") << "100 MB of each of " << runs << " at 20 MB/s";
    world.Pass(absl::Milliseconds(50));
    TakeCalls(world);
    EXPECT_EQ(world.Commanded(), "checkpoint 1");
  }
}

TEST(Checkpoints, AnEndWaitsForTheLastOneAndNoLongerThanItMay) {
  for (const bool answered : {true, false}) {
    World world;
    world.Train({Granted(Key(1))});
    world.Started();
    Wrote(world, 1, 10);
    const CheckpointUpload upload = Uploaded(world);
    world.Ended(1, AttemptEnd::kFinished, 10);
    world.Settle();
    TakeCalls(world);
    EXPECT_EQ(world.StreamOpened(), 0) << "nothing to say yet";
    EXPECT_EQ(world.files.held.size(), 1u);
    if (answered) {
      Put(world, upload, CheckpointFate::kStored);
    } else {
      for (int i = 0; i < 10; ++i) {
        world.Pass(absl::Seconds(3));
        TakeCalls(world);
      }
    }
    EXPECT_TRUE(world.files.held.empty());
    world.StreamOpened();
    EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 end finished");
    world.Settle();
    TakeCalls(world);
    world.Acknowledge(Key(1), 1);
    world.Settle();
    TakeCalls(world);
  }
}

TEST(Checkpoints, ARunGoesOnFromTheOneThatWasFetched) {
  World world;
  world.Train({Resumed(Key(1), 40)});
  ASSERT_EQ(world.link.downloads.size(), 1u);
  EXPECT_EQ(world.link.downloads[0].step, 40);
  EXPECT_EQ(world.link.downloads[0].path, kFetched);
  world.link.downloads.clear();
  EXPECT_TRUE(world.pool.starts.empty());
  world.agent->OnLinkEvent(CheckpointGot{Key(1), 40, kFetched, absl::UnavailableError("away")}, world.clock.Now());
  world.Pass(absl::Seconds(1));
  ASSERT_EQ(world.link.downloads.size(), 1u) << "tried again";
  world.link.downloads.clear();
  world.agent->OnLinkEvent(CheckpointGot{Key(1), 40, kFetched, absl::OkStatus()}, world.clock.Now());
  EXPECT_EQ(world.Started().resume, kFetched);
  world.Settle();
  TakeCalls(world);
}

TEST(Checkpoints, OfAnotherDatabaseAreNotTakenForThoseOfARunOfTheSameName) {
  World world;
  world.Train({Granted(Key(1))});
  world.Started();
  Wrote(world, 1, 5);
  const CheckpointUpload upload = Uploaded(world);
  world.Pass(absl::Seconds(5));
  SynchronizeAnswer other = world.Desired();
  other.database_id = "db2";
  other.start = {Granted(Key(1))};
  world.CallAndAnswer(other);
  EXPECT_EQ(world.Commanded(), "stop 1");
  world.Ended(1, AttemptEnd::kStopped, 5);
  world.Started();
  Put(world, upload, CheckpointFate::kFailed);
  world.Settle();
  while (!world.link.calls.empty()) world.CallAndAnswer(other);
  world.Pass(absl::Seconds(2));
  EXPECT_TRUE(world.link.uploads.empty()) << "the other database's run would go on from it";
}

TEST(Checkpoints, OneThatWasFetchedOfAnotherDatabaseIsNotGoneOnFrom) {
  World world;
  world.Train({Resumed(Key(1), 40)});
  world.link.downloads.clear();
  world.Pass(absl::Seconds(5));
  SynchronizeAnswer other = world.Desired();
  other.database_id = "db2";
  other.start = {Resumed(Key(1), 40)};
  world.CallAndAnswer(other);
  ASSERT_EQ(world.link.downloads.size(), 1u);
  const std::string path = world.link.downloads[0].path;
  world.link.downloads.clear();
  for (const absl::Status& answer : {absl::OkStatus(), absl::NotFoundError("no such run")}) {
    world.agent->OnLinkEvent(CheckpointGot{Key(1), 40, kFetched, answer}, world.clock.Now());
    EXPECT_TRUE(world.pool.starts.empty());
    EXPECT_EQ(world.StreamOpened(), 0) << "no end is to be reported";
  }
  world.agent->OnLinkEvent(CheckpointGot{Key(1), 40, path, absl::OkStatus()}, world.clock.Now());
  EXPECT_EQ(world.Started().resume, path);
  world.Settle();
  while (!world.link.calls.empty()) world.CallAndAnswer(other);
}

TEST(Checkpoints, ADamagedOneIsReportedWhoeverFindsOut) {
  for (const bool by_engine : {false, true}) {
    World world;
    world.Train({Resumed(Key(1), 40)});
    world.link.downloads.clear();
    const absl::Status fetched = by_engine ? absl::OkStatus() : absl::DataLossError("cut short");
    world.agent->OnLinkEvent(CheckpointGot{Key(1), 40, kFetched, fetched}, world.clock.Now());
    if (by_engine) {
      world.Started();
      AttemptEnded ended;
      ended.attempt = AttemptId(1);
      ended.end = AttemptEnd::kFailed;
      ended.reason = "checkpoint of another run";
      world.agent->OnEngineEvent(ended, world.clock.Now());
    }
    world.StreamOpened();
    const Report report = world.Reported();
    EXPECT_EQ(Shown(report), "1/1#1 :1 end preempted");
    EXPECT_EQ(report.body->end->unusable_checkpoint, 40);
    EXPECT_TRUE(world.files.held.empty());
    world.Settle();
    TakeCalls(world);
    world.Acknowledge(Key(1), 1);
    world.Settle();
    TakeCalls(world);
  }
}

TEST(Checkpoints, OneThatTheEngineCannotReadIsNotReportedAsDamaged) {
  World world;
  world.Train({Resumed(Key(1), 40)});
  world.link.downloads.clear();
  world.agent->OnLinkEvent(CheckpointGot{Key(1), 40, kFetched, absl::OkStatus()}, world.clock.Now());
  world.Started();
  AttemptEnded ended;
  ended.attempt = AttemptId(1);
  ended.end = AttemptEnd::kFailed;
  ended.reason = "cannot read checkpoint /attempts/1-1-1/resume.checkpoint: Too many open files";
  world.agent->OnEngineEvent(ended, world.clock.Now());
  world.StreamOpened();
  const Report report = world.Reported();
  EXPECT_EQ(Shown(report), "1/1#1 :1 end crashed");
  EXPECT_EQ(report.body->end->unusable_checkpoint, std::nullopt);
  world.Settle();
  TakeCalls(world);
  world.Acknowledge(Key(1), 1);
  world.Settle();
  TakeCalls(world);
}

TEST(Checkpoints, AShutdownWaitsForTheOneThatItAskedFor) {
  World world;
  world.Train({Granted(Key(1))});
  world.Started();
  world.agent->BeginShutdown(world.clock.Now());
  EXPECT_EQ(world.Commanded(), "stop with checkpoint 1");
  Wrote(world, 1, 10);
  const CheckpointUpload upload = Uploaded(world);
  world.Ended(1, AttemptEnd::kStopped, 10);
  world.Pass(absl::Seconds(4));
  TakeCalls(world);
  EXPECT_EQ(world.StreamOpened(), 0);
  Put(world, upload, CheckpointFate::kStored);
  world.StreamOpened();
  EXPECT_EQ(Shown(world.Reported()), "1/1#1 :1 end preempted");
  TakeCalls(world);
  world.Acknowledge(Key(1), 1);
  while (!world.link.calls.empty()) world.CallAndAnswer();
  EXPECT_EQ(world.Commanded(), "shutdown");
}

TEST(Checkpoints, AShutdownDoesNotWaitLongForACoordinatorThatIsAway) {
  World world;
  world.Train({Granted(Key(1))});
  world.Started();
  world.agent->BeginShutdown(world.clock.Now());
  EXPECT_EQ(world.Commanded(), "stop with checkpoint 1");
  Wrote(world, 1, 10);
  Put(world, Uploaded(world), CheckpointFate::kFailed);
  world.Ended(1, AttemptEnd::kStopped, 10);
  for (int second = 0; second < 4; ++second) {
    while (!world.link.calls.empty()) world.Answer(world.Call().number, absl::UnavailableError("away"));
    world.Pass(absl::Seconds(1));
  }
  const auto gave_up = testing::Contains(testing::HasSubstr("could not be stored in time"));
  EXPECT_THAT(world.observer.warnings, testing::Not(gave_up)) << "it may come back";
  while (!world.link.calls.empty()) world.Answer(world.Call().number, absl::UnavailableError("away"));
  world.Pass(absl::Seconds(1));
  EXPECT_THAT(world.observer.warnings, gave_up);
  world.Pass(absl::Seconds(5 + 3));  // for the acknowledgement of the end, and for the goodbye
  EXPECT_EQ(world.Commanded(), "shutdown");
  world.link.calls.clear();
  world.link.streams.clear();
  world.link.reports.clear();
  world.link.uploads.clear();
}

}  // namespace
}  // namespace seedbed::agent
