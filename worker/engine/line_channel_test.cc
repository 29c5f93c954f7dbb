#include "worker/engine/line_channel.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace seedbed::engine {
namespace {

// A channel whose other ends the test holds.
class LineChannelTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(pipe(input_), 0);
    ASSERT_EQ(pipe(output_), 0);
    channel_ = std::make_unique<LineChannel>(input_[0], output_[1], -1);
    handlers_.on_line = [this](const std::string& line) {
      lines_.push_back(line);
      if (line == "wrong") return absl::InvalidArgumentError("wrong");
      if (line == "close") channel_->Close();
      return absl::OkStatus();
    };
    handlers_.on_end_of_input = [this] {
      ++ends_of_input_;
      channel_->Close();
    };
    handlers_.on_end_of_output = [this] {
      ++ends_of_output_;
      channel_->Close();
    };
  }
  void TearDown() override {
    for (const int fd : {input_[0], input_[1], output_[0], output_[1]}) {
      if (fd >= 0) close(fd);
    }
  }
  void Say(const std::string& text) {
    ASSERT_EQ(write(input_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  static void Close(int* fd) {
    close(*fd);
    *fd = -1;
  }
  std::string ReadAll() {
    std::string all;
    char buffer[1 << 16];
    ssize_t count = 0;
    while ((count = read(output_[0], buffer, sizeof(buffer))) > 0) all.append(buffer, static_cast<size_t>(count));
    return all;
  }

  int input_[2] = {-1, -1};
  int output_[2] = {-1, -1};
  std::unique_ptr<LineChannel> channel_;
  LineChannel::Handlers handlers_;
  std::vector<std::string> lines_;
  int ends_of_input_ = 0;
  int ends_of_output_ = 0;
};

TEST_F(LineChannelTest, LinesArriveWholeHoweverTheyAreCut) {
  Say("one\ntw");
  std::thread later([this] {
    Say("o\n\nthree\n");
    Say("unfinished");
    Close(&input_[1]);
  });
  EXPECT_TRUE(channel_->Run(handlers_).ok());
  later.join();
  EXPECT_EQ(lines_, (std::vector<std::string>{"one", "two", "three"}));
  EXPECT_EQ(ends_of_input_, 1);
}

TEST_F(LineChannelTest, WhatWasSentIsWrittenBeforeItReturns) {
  channel_->Send("a");
  channel_->Send("b");
  Say("close\n");
  EXPECT_TRUE(channel_->Run(handlers_).ok());
  Close(&output_[1]);
  EXPECT_EQ(ReadAll(), "a\nb\n");
}

TEST_F(LineChannelTest, AWrongLineEndsIt) {
  Say("fine\nwrong\nnever\n");
  EXPECT_FALSE(channel_->Run(handlers_).ok());
  EXPECT_EQ(lines_, (std::vector<std::string>{"fine", "wrong"}));
}

TEST_F(LineChannelTest, AnEndlessLineEndsIt) {
  std::thread writer([this] {
    const std::string piece(1 << 16, 'x');
    while (write(input_[1], piece.data(), piece.size()) > 0) continue;
  });
  const absl::Status status = channel_->Run(handlers_);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  Close(&input_[0]);  // SIGPIPE is ignored below: the writer ends
  writer.join();
}

// Input is heard while the output is stuck, a sender waits for room, and reading makes room.
TEST_F(LineChannelTest, NeitherDirectionWaitsForTheOther) {
  const std::string line(1 << 16, 'x');
  size_t sent = 0;
  while (sent <= LineChannel::kMostQueuedBytes + (1 << 20)) {
    channel_->Send(line);
    sent += line.size() + 1;
  }
  std::atomic<bool> has_room{false};
  std::thread sender([&] {
    channel_->WaitForRoom([] { return false; });
    has_room = true;
  });
  std::thread runner([&] { EXPECT_TRUE(channel_->Run(handlers_).ok()); });
  Say("heard\nclose\n");
  EXPECT_FALSE(has_room);
  std::string all;
  char buffer[1 << 16];
  while (all.size() < sent) {
    const ssize_t count = read(output_[0], buffer, sizeof(buffer));
    ASSERT_GT(count, 0);
    all.append(buffer, static_cast<size_t>(count));
  }
  runner.join();
  sender.join();
  EXPECT_EQ(lines_, (std::vector<std::string>{"heard", "close"}));
  EXPECT_EQ(all.size(), sent);
}

TEST_F(LineChannelTest, ACancelledSenderDoesNotWait) {
  const std::string line(LineChannel::kMostQueuedBytes + 1, 'x');
  channel_->Send(line);
  channel_->WaitForRoom([] { return true; });
}

TEST_F(LineChannelTest, AReaderThatLeavesIsNoticed) {
  Close(&output_[0]);
  channel_->Send("a");
  EXPECT_TRUE(channel_->Run(handlers_).ok());
  EXPECT_EQ(ends_of_output_, 1);
  channel_->Send("b");                          // does nothing
  channel_->WaitForRoom([] { return false; });  // nor does this wait
}

class IgnoreBrokenPipes : public testing::Environment {
 public:
  void SetUp() override { signal(SIGPIPE, SIG_IGN); }
};
const auto* const kIgnoreBrokenPipes = testing::AddGlobalTestEnvironment(new IgnoreBrokenPipes);

}  // namespace
}  // namespace seedbed::engine
