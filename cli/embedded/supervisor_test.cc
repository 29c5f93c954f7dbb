#include "cli/embedded/supervisor.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>

#include "absl/time/clock.h"

namespace seedbed::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

// Waits for what children do that can be seen: they end, or write to files of a directory.
class ChildNews {
 public:
  explicit ChildNews(const std::string& directory) : files_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    inotify_add_watch(files_, directory.c_str(), IN_CREATE | IN_MODIFY);
    struct sigaction interrupt = {};
    interrupt.sa_handler = [](int) {};
    sigaction(SIGCHLD, &interrupt, nullptr);
    // Kept for the wait, so that none comes between a look and the wait after it.
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, &while_waiting_);
  }
  ~ChildNews() {
    sigprocmask(SIG_SETMASK, &while_waiting_, nullptr);
    signal(SIGCHLD, SIG_DFL);
    close(files_);
  }

  // Until there is some, since the last call.
  void Wait(absl::Duration most) {
    const timespec limit = absl::ToTimespec(std::max(most, absl::ZeroDuration()));
    pollfd files = {files_, POLLIN, 0};
    ppoll(&files, 1, &limit, &while_waiting_);
    char events[4096];
    while (read(files_, events, sizeof(events)) > 0) {
    }
  }

 private:
  const int files_;
  sigset_t while_waiting_;
};

class SupervisorTest : public ::testing::Test {
 protected:
  SupervisorTest() {
    std::string pattern = ::testing::TempDir() + "/supervisor-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    news_ = std::make_unique<ChildNews>(directory_);
    supervisor_ = std::make_unique<Supervisor>(*Lifeline::Create());
  }
  ~SupervisorTest() override {
    supervisor_.reset();
    std::filesystem::remove_all(directory_);
  }

  ChildCommand Shell(const std::string& script) {
    return {"child", {"/bin/sh", "-c", script}, {}, directory_ + "/log"};
  }

  std::string Log() {
    std::ifstream file(directory_ + "/log");
    return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  }

  bool WaitFor(const std::function<bool()>& condition) {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (!condition()) {
      if (absl::Now() > deadline) return false;
      news_->Wait(deadline - absl::Now());
    }
    return true;
  }

  std::string directory_;
  std::unique_ptr<ChildNews> news_;
  std::unique_ptr<Supervisor> supervisor_;
};

TEST_F(SupervisorTest, AChildSeesTheLifelineAndNothingElse) {
  const int leaked = open("/dev/null", O_RDONLY);  // without close-on-exec
  ASSERT_TRUE(supervisor_->Start(Shell("ls /proc/$$/fd; echo end")).ok());
  ASSERT_TRUE(WaitFor([&] { return Log().find("end") != std::string::npos; }));
  EXPECT_EQ(Log(), "0\n1\n2\n3\nend\n");
  close(leaked);
}

TEST_F(SupervisorTest, TheLifelineEndsWithItsHolder) {
  std::optional<Lifeline> lifeline(*Lifeline::Create());
  const absl::StatusOr<pid_t> child = Spawn(Shell("cat <&3; echo end of file"), *lifeline);
  ASSERT_TRUE(child.ok()) << child.status();
  // A second child must not hold the first one's pipe open.
  const absl::StatusOr<pid_t> other = Spawn(Shell("exec sleep 60"), *Lifeline::Create());
  ASSERT_TRUE(other.ok());
  lifeline.reset();
  int status = 0;
  EXPECT_EQ(waitpid(*child, &status, 0), *child);
  EXPECT_EQ(Log(), "end of file\n");
  kill(*other, SIGKILL);
  waitpid(*other, nullptr, 0);
}

TEST_F(SupervisorTest, AChildLeadsItsOwnSession) {
  ASSERT_TRUE(supervisor_->Start(Shell("ps -o sid= -p $$; echo $$; echo end; cat <&3")).ok());
  ASSERT_TRUE(WaitFor([&] { return Log().find("end") != std::string::npos; }));
  long session = 0, process = 0;
  ASSERT_EQ(sscanf(Log().c_str(), "%ld %ld", &session, &process), 2) << Log();
  EXPECT_EQ(session, process);
}

TEST_F(SupervisorTest, TheDeadAreStartedAgainOnlyWhenDue) {
  ChildCommand command = Shell("echo started $1; exit 3");
  command.at_first = {"sh", "first"};
  ASSERT_TRUE(supervisor_->Start(command).ok());
  absl::Time now = absl::Now();
  std::vector<std::string> news;
  ASSERT_TRUE(WaitFor([&] { return supervisor_->LookAfter(now, &news).ok() && !news.empty(); }));
  EXPECT_THAT(news[0], HasSubstr("the child left with status 3; starting it again"));
  EXPECT_TRUE(supervisor_->LookAfter(now, &news).ok());
  EXPECT_EQ(Log(), "started first\n");
  EXPECT_TRUE(supervisor_->LookAfter(now + absl::Seconds(1), &news).ok());
  EXPECT_TRUE(WaitFor([&] { return Log() == "started first\nstarted\n"; }));
}

TEST_F(SupervisorTest, OneThatKeepsDyingIsGivenUpWithItsLastWords) {
  ASSERT_TRUE(supervisor_->Start(Shell("echo the reason; exit 3")).ok());
  absl::Time now = absl::Now();
  absl::Status status;
  ASSERT_TRUE(WaitFor([&] {
    for (int i = 0; i < 2 && status.ok(); ++i) {  // one finds it dead, the other starts it again
      now += absl::Seconds(10);
      status = supervisor_->LookAfter(now, nullptr);
    }
    return !status.ok();
  }));
  EXPECT_THAT(std::string(status.message()), HasSubstr("left with status 3"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("the reason"));
}

TEST_F(SupervisorTest, OneThatRefusesItsCommandLineIsNotStartedAgain) {
  ASSERT_TRUE(supervisor_->Start(Shell("echo no such device; exit 2")).ok());
  const absl::Time now = absl::Now();
  absl::Status status;
  ASSERT_TRUE(WaitFor([&] {
    status = supervisor_->LookAfter(now, nullptr);
    return !status.ok();
  }));
  EXPECT_EQ(status.message(), "the child left with status 2. The end of " + directory_ + "/log:\nno such device");
}

TEST_F(SupervisorTest, TerminatesFromAnIndexOn) {
  ASSERT_TRUE(supervisor_->Start(Shell("cat <&3")).ok());
  ASSERT_TRUE(supervisor_->Start(Shell("exec sleep 60")).ok());
  supervisor_->Terminate(1);
  EXPECT_TRUE(WaitFor([&] { return supervisor_->Gone(1); }));
  EXPECT_FALSE(supervisor_->Gone(0));
  supervisor_->Kill();
  EXPECT_TRUE(WaitFor([&] { return supervisor_->Gone(0); }));
  // What was asked to leave is not started again.
  std::vector<std::string> news;
  EXPECT_TRUE(supervisor_->LookAfter(absl::Now() + absl::Hours(1), &news).ok());
  EXPECT_THAT(news, SizeIs(0));
}

TEST_F(SupervisorTest, SaysWhichProgramIsMissing) {
  ChildCommand command = Shell("");
  command.arguments = {directory_ + "/seedbed-coordinator"};
  const absl::Status status = supervisor_->Start(command);
  EXPECT_THAT(std::string(status.message()), HasSubstr(directory_ + "/seedbed-coordinator"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("No such file"));
}

TEST(RestartPolicy, DoublesItsDelayAndForgetsAfterAMinute) {
  RestartPolicy policy;
  const absl::Time start = absl::UnixEpoch();
  const absl::Time now = start + absl::Seconds(5);
  for (const int milliseconds : {250, 500, 1000, 2000, 4000}) {
    EXPECT_EQ(policy.AfterDeath(start, now), now + absl::Milliseconds(milliseconds));
  }
  EXPECT_EQ(policy.AfterDeath(start, now), std::nullopt);
  EXPECT_EQ(policy.AfterDeath(start, start + absl::Seconds(61)), start + absl::Seconds(61) + absl::Milliseconds(250));
}

TEST_F(SupervisorTest, TailKeepsWholeLastLines) {
  std::ofstream(directory_ + "/log") << std::string(20'000, 'x') << "\none\ntwo\n\nthree\n";
  EXPECT_EQ(TailOfFile(directory_ + "/log", 2), "two\nthree");
  EXPECT_EQ(TailOfFile(directory_ + "/none", 2), "");
}

}  // namespace
}  // namespace seedbed::cli
