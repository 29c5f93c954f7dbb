#include <string>

#include "coordinator/core/scene.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

// Grants and listings of leases.
namespace seedbed::core {
namespace {

using ::testing::HasSubstr;

SweepOptions Grid(int points, int64_t seeds) {
  SweepOptions options;
  options.points = points;
  options.seeds = seeds;
  return options;
}

TEST(Settings, OfLeasesAreThePublishedOnesByDefault) {
  const Settings settings;
  EXPECT_EQ(settings.lease_duration, absl::Seconds(15));
  EXPECT_EQ(settings.synchronize_every, absl::Seconds(5)) << "a third of a lease's time";
  EXPECT_EQ(settings.suspension_gap, absl::Seconds(2));
  EXPECT_EQ(settings.most_counted_ends, 3);
  EXPECT_EQ(settings.quarantine_after, 3);
}

TEST(Grant, IsRepeatedUnderTheSameFenceUntilItIsListed) {
  Scene scene;
  scene.Submit("a", Grid(3, 1));
  SceneWorker worker(scene, "w", 1);
  const SynchronizeAnswer lost = worker.SynchronizeAnswerLost();
  const SynchronizeAnswer repeated = worker.SynchronizeAnswerLost();
  ASSERT_EQ(lost.start.size(), 1u);
  ASSERT_EQ(repeated.start.size(), 1u) << "the one slot is spoken for";
  EXPECT_EQ(repeated.start[0].lease, lost.start[0].lease);
  worker.Synchronize();
  EXPECT_TRUE(worker.Synchronize().start.empty());
  EXPECT_EQ(scene.state.FindRun(lost.start[0].lease.run)->attempts, 1);
}

TEST(Grant, IsRepeatedByARestartedCoordinatorToo) {
  Scene scene;
  scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  const SynchronizeAnswer lost = worker.SynchronizeAnswerLost();
  scene.Restart();
  const SynchronizeAnswer repeated = worker.Synchronize();
  ASSERT_EQ(repeated.start.size(), 1u);
  EXPECT_EQ(repeated.start[0].lease, lost.start[0].lease);
}

TEST(Grant, IsNotRepeatedByARestartedCoordinatorOnceItWasReportedOn) {
  Scene scene;
  scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  const RunId run = Lease(worker).run;
  worker.SendRows(run);
  scene.Restart();
  worker.held.clear();
  // Under the old fence its reports would count from 1 again and be taken for repeated ones.
  const SynchronizeAnswer answer = worker.Synchronize();
  EXPECT_TRUE(answer.start.empty());
  EXPECT_EQ(scene.StateOfRun(run), "queued");
}

TEST(Grant, AReportBeforeTheFirstListingIsNoListing) {
  Scene scene;
  scene.Submit("a", Grid(2, 1));
  SceneWorker worker(scene, "w", 1);
  const RunId run = Lease(worker).run;
  Synchronize sent_before_the_grant_came = worker.Facts();
  sent_before_the_grant_came.leases.clear();
  sent_before_the_grant_came.free_slots = 1;
  worker.SendRows(run);
  const auto answer = scene.Ask<SynchronizeAnswer>(sent_before_the_grant_came);
  EXPECT_TRUE(answer.start.empty()) << "the slot is spoken for";
  EXPECT_EQ(scene.StateOfRun(run), "running") << "not lost";
  worker.Synchronize();
  EXPECT_EQ(worker.Finish(run).verdict, ReportVerdict::kAccepted);
}

TEST(Grant, IsNotRepeatedOnceItWasReportedOn) {
  Scene scene;
  scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  const RunId run = Lease(worker).run;
  worker.SendRows(run);
  worker.held.clear();
  // Under the old fence its reports would count from 1 again and be taken for repeated ones, rows and all.
  for (int i = 0; i < 15; ++i) {
    EXPECT_TRUE(worker.Synchronize().start.empty());
    scene.Pass(absl::Seconds(1));
  }
  EXPECT_EQ(scene.StateOfRun(run), "queued");
  EXPECT_EQ(scene.state.FindRun(run)->counted_ends, 1) << "it was started, so this is a loss";
  EXPECT_EQ(Lease(worker).attempt, 2);
}

TEST(Grant, NeverListedExpiresAndIsGivenToAnother) {
  Scene scene;
  scene.Submit("a");
  SceneWorker deaf(scene, "deaf", 1);
  const RunId run = deaf.SynchronizeAnswerLost().start.at(0).lease.run;
  scene.Pass(absl::Seconds(7));
  EXPECT_EQ(deaf.SynchronizeAnswerLost().start.size(), 1u);
  scene.Pass(absl::Seconds(7));
  EXPECT_EQ(scene.StateOfRun(run), "running");
  scene.Pass(absl::Seconds(1));
  EXPECT_EQ(scene.StateOfRun(run), "queued") << "15 s after the grant, though the worker was heard of 8 s ago";
  EXPECT_EQ(deaf.entry().state, WorkerState::kActive);
  EXPECT_EQ(scene.state.FindRun(run)->last_end, AttemptEnd::kLost);
  SceneWorker other(scene, "other", 1);
  EXPECT_EQ(Lease(other).run, run);
}

TEST(Grant, NeverListedByAWorkerThatLivesCountsAgainstNobody) {
  struct Case {
    const char* what;
    bool calls;   // the worker, on and on, and hears no answer
    bool listed;  // once, before it fell silent
    int counted;  // after the lease is lost
  };
  for (const Case& c : {Case{"it calls and hears nothing", true, false, 0}, Case{"it is silent", false, false, 1},
                        Case{"it listed it and is silent", false, true, 1}}) {
    Scene scene;
    scene.Submit("a");
    SceneWorker worker(scene, "w", 1);
    const RunId run = c.listed ? Lease(worker).run : worker.SynchronizeAnswerLost().start.at(0).lease.run;
    if (c.listed) worker.Synchronize();
    for (int second = 0; second < 15; ++second) {
      scene.Pass(absl::Seconds(1));
      if (c.calls && second % 5 == 0) worker.SynchronizeAnswerLost();
    }
    ASSERT_EQ(scene.StateOfRun(run), "queued") << c.what;
    EXPECT_EQ(scene.state.FindRun(run)->last_end, AttemptEnd::kLost) << c.what;
    EXPECT_EQ(scene.state.FindRun(run)->counted_ends, c.counted) << c.what;
  }
}

TEST(Grant, IsNotRestoredToAWorkerThatHearsOfItTooLate) {
  Scene scene;
  scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  const SynchronizeAnswer late = worker.SynchronizeAnswerLost();
  for (int i = 0; i < 15; ++i) {
    scene.Pass(absl::Seconds(1));
    if (i % 5 == 0) worker.SynchronizeAnswerLost();
  }
  worker.Take(late);
  const SynchronizeAnswer answer = worker.Synchronize();
  EXPECT_TRUE(answer.restored.empty()) << "there is no loss to take back";
  EXPECT_EQ(answer.stop.size(), 1u);
  EXPECT_EQ(scene.state.FindRun(late.start[0].lease.run)->counted_ends, 0);
}

TEST(Listing, AbsenceOnceListedMeansLost) {
  Scene scene;
  scene.Submit("a", Grid(2, 1));
  SceneWorker worker(scene, "w", 1);
  const RunId run = Lease(worker).run;
  worker.Synchronize();
  worker.held.clear();
  worker.slots = 0;
  worker.Synchronize();
  EXPECT_EQ(scene.StateOfRun(run), "queued");
  EXPECT_EQ(scene.state.FindRun(run)->counted_ends, 1);
  EXPECT_EQ(worker.entry().counted_ends_in_a_row.size(), 1u);
}

TEST(Listing, AbsenceAfterTheReportOfItsEndIsNoLoss) {
  Scene scene;
  scene.Submit("a");
  SceneWorker worker(scene, "w", 1);
  const RunId run = Lease(worker).run;
  worker.Synchronize();
  worker.Finish(run);
  worker.Synchronize();
  EXPECT_EQ(scene.StateOfRun(run), "finished");
  EXPECT_EQ(scene.state.FindRun(run)->counted_ends, 0);
}

TEST(Listing, ANamedLeaseThatIsNotItsOwnIsStopped) {
  struct Case {
    const char* what;
    void (*spoil)(Scene&, LeaseKey&);
    const char* reason;
  };
  const std::vector<Case> table = {
      {"an unknown run", [](Scene&, LeaseKey& lease) { lease.run = RunId(99); }, "does not exist"},
      {"an unknown attempt", [](Scene&, LeaseKey& lease) { lease.attempt = 7; }, "granted again"},
      {"a fence from the future", [](Scene&, LeaseKey& lease) { lease.fence = Fence(99); }, "granted again"},
      {"a lease of another worker", [](Scene&, LeaseKey&) {}, "another worker's"},
  };
  for (const Case& c : table) {
    Scene scene;
    scene.Submit("a");
    SceneWorker owner(scene, "owner", 1);
    LeaseKey lease = Lease(owner);
    owner.Synchronize();
    SceneWorker stranger(scene, "stranger", 1);
    c.spoil(scene, lease);
    stranger.held[lease.run] = lease;
    const SynchronizeAnswer answer = stranger.Synchronize();
    ASSERT_EQ(answer.stop.size(), 1u) << c.what;
    EXPECT_FALSE(answer.stop[0].hand_back) << c.what;
    EXPECT_THAT(answer.stop[0].reason, HasSubstr(c.reason)) << c.what;
    EXPECT_EQ(scene.state.FindRun(owner.held.begin()->first)->fence, owner.held.begin()->second.fence) << c.what;
  }
}

TEST(Listing, ALowerNumberIsIgnored) {
  Scene scene;
  scene.Submit("a", Grid(2, 1));
  SceneWorker worker(scene, "w", 1);
  const Synchronize old_facts = worker.Facts();
  const RunId run = Lease(worker).run;
  worker.Synchronize();
  const auto answer = scene.Ask<SynchronizeAnswer>(old_facts);
  EXPECT_TRUE(answer.ignored);
  EXPECT_TRUE(scene.last_events.empty());
  EXPECT_EQ(scene.StateOfRun(run), "running");
}

TEST(Listing, WorkersMayHoldLeasesBeyondTheirSlots) {
  Scene scene;
  scene.Submit("a", Grid(5, 1));
  SceneWorker worker(scene, "w", 1);
  Synchronize facts = worker.Facts();
  facts.free_slots = 3;
  worker.Take(scene.Ask<SynchronizeAnswer>(facts));
  EXPECT_EQ(worker.held.size(), 3u);
  const SynchronizeAnswer answer = worker.Synchronize();
  EXPECT_TRUE(answer.start.empty());
  EXPECT_TRUE(answer.stop.empty());
  EXPECT_EQ(worker.entry().leases.size(), 3u);
}

TEST(HeldOpen, AHeldCallLeasesButItsOldFactsRenewNothingAndProveNothing) {
  Scene scene;
  SceneWorker worker(scene, "w", 2);
  Synchronize facts = worker.Facts();
  EXPECT_TRUE(scene.Ask<SynchronizeAnswer>(facts).start.empty());
  scene.Submit("a", Grid(1, 1));
  const absl::Duration heard = worker.entry().last_seen;
  scene.Pass(absl::Seconds(3));
  facts.held_open = true;
  worker.Take(scene.Ask<SynchronizeAnswer>(facts));
  EXPECT_EQ(worker.held.size(), 1u);
  EXPECT_EQ(worker.entry().last_seen, heard);
  worker.Synchronize();
  facts.number = worker.number;
  scene.Ask<SynchronizeAnswer>(facts);  // names nothing, and is too old to mean it
  EXPECT_EQ(worker.entry().leases.size(), 1u);
  scene.Pass(absl::Seconds(20));
  EXPECT_EQ(worker.entry().state, WorkerState::kGone);
  EXPECT_TRUE(scene.Ask<SynchronizeAnswer>(facts).ignored) << "a held call does not bring a worker back";
}

TEST(Facts, ChangedFactsAreRegisteredAgainAndOnlyThen) {
  Scene scene;
  SceneWorker worker(scene, "w", 1);
  const auto registrations = [&] {
    int count = 0;
    for (const Event& event : scene.last_events) count += std::holds_alternative<WorkerRegistered>(event);
    return count;
  };
  worker.Synchronize();
  EXPECT_EQ(registrations(), 1);
  worker.Synchronize();
  EXPECT_EQ(registrations(), 0);
  for (const Event& event : scene.last_events) EXPECT_FALSE(IsDurable(event)) << Describe(event);
  worker.slots = 3;
  worker.Synchronize();
  EXPECT_EQ(registrations(), 1);
  EXPECT_EQ(worker.entry().slots, 3);
}

}  // namespace
}  // namespace seedbed::core
