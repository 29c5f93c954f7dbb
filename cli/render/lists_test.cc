#include "cli/render/lists.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <sstream>

namespace seedbed::cli {
namespace {

using ::testing::HasSubstr;

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

}  // namespace
}  // namespace seedbed::cli
