#include "coordinator/rpc/checkpoint_download.h"

#include <memory>
#include <string>

#include "gtest/gtest.h"

// Whose turn it is; checkpoint_streams_test.cc has the downloads.
namespace seedbed {
namespace {

TEST(DownloadTurnsTest, AreTakenInOrderButNotBehindAWorkerThatHasEnough) {
  DownloadTurns turns(3, 2);
  std::string started;
  for (const char* each : {"a1", "a2", "a3", "b1", "b2", "c1"}) {
    turns.Ask(
        WorkerId(std::string(each, 1)), [&started, each] { started += std::string(each) + " "; }, [] { return false; });
  }
  EXPECT_EQ(started, "a1 a2 b1 ");
  turns.Done(WorkerId("b"));
  EXPECT_EQ(started, "a1 a2 b1 b2 ");
  turns.Done(WorkerId("a"));
  EXPECT_EQ(started, "a1 a2 b1 b2 a3 ");
  turns.Done(WorkerId("a"));
  turns.Done(WorkerId("a"));
  turns.Done(WorkerId("b"));
  turns.Done(WorkerId("c"));
  EXPECT_EQ(started, "a1 a2 b1 b2 a3 c1 ");
}

TEST(DownloadTurnsTest, WhoIsGoneGetsNoneAndIsForgotten) {
  DownloadTurns turns(1, 1);
  std::string started;
  bool gone = false;
  const auto watched = std::make_shared<int>(0);
  turns.Ask(
      WorkerId("a"), [] {}, [] { return false; });
  turns.Ask(
      WorkerId("b"), [&started, watched] { started += "b "; }, [&gone] { return gone; });
  turns.Ask(
      WorkerId("c"), [&started] { started += "c "; }, [] { return false; });
  gone = true;
  turns.Ask(
      WorkerId("d"), [&started] { started += "d "; }, [] { return false; });
  EXPECT_EQ(watched.use_count(), 1);
  turns.Done(WorkerId("a"));
  EXPECT_EQ(started, "c ");
  turns.Done(WorkerId("c"));
  EXPECT_EQ(started, "c d ");
  turns.Done(WorkerId("d"));
}

}  // namespace
}  // namespace seedbed
