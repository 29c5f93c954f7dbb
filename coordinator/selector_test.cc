#include "coordinator/selector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace seedbed {
namespace {

using ::testing::HasSubstr;

const std::vector<Selectable> kSweeps = {{2, "goldilocks"}, {3, "canonical"}, {5, "7"}, {9, "3-5"}, {11, "depth"}};

TEST(Select, NamesIdsRangesAndWords) {
  struct Row {
    std::string selector;
    std::vector<int64_t> expected;
  };
  const std::vector<Row> rows = {
      {"goldilocks", {2}},
      {"2", {2}},
      {"7", {5}},    // a name goes before an id
      {"3-5", {9}},  // and before a range
      {"2-4", {2, 3}},
      {"4-100", {5, 9, 11}},
      {"last", {11}},
      {"all", {2, 3, 5, 9, 11}},
      {"depth,goldilocks", {2, 11}},    // rising, whatever the order
      {" 2 , 2-3 ,canonical", {2, 3}},  // each once
      {"11-11", {11}},
  };
  for (const Row& row : rows) {
    const auto got = Select(row.selector, kSweeps, "sweep");
    ASSERT_TRUE(got.ok()) << row.selector << ": " << got.status();
    EXPECT_EQ(*got, row.expected) << row.selector;
  }
}

TEST(Select, SaysWhatIsWrong) {
  struct Row {
    std::string selector;
    absl::StatusCode code;
    std::string words;
  };
  const std::vector<Row> rows = {
      {"goldylocks", absl::StatusCode::kNotFound, "did you mean 'goldilocks'"},
      {"lest", absl::StatusCode::kNotFound, "did you mean 'last'"},
      {"4", absl::StatusCode::kNotFound, "no sweep '4'"},
      {"6-8", absl::StatusCode::kNotFound, "no sweep '6-8'"},
      {"7-4", absl::StatusCode::kInvalidArgument, "backwards"},
      {"", absl::StatusCode::kInvalidArgument, "empty word"},
      {"2,,3", absl::StatusCode::kInvalidArgument, "empty word"},
      {"-3", absl::StatusCode::kNotFound, "no sweep '-3'"},
      {"99999999999999999999", absl::StatusCode::kNotFound, "no sweep"},
      {"2,nowhere", absl::StatusCode::kNotFound, "nowhere"},
  };
  for (const Row& row : rows) {
    const auto got = Select(row.selector, kSweeps, "sweep");
    EXPECT_EQ(got.status().code(), row.code) << row.selector << ": " << got.status();
    EXPECT_THAT(std::string(got.status().message()), HasSubstr(row.words)) << row.selector;
  }
}

TEST(Select, NothingKnown) {
  EXPECT_EQ(Select("all", {}, "sweep")->size(), 0u);
  EXPECT_EQ(Select("last", {}, "sweep").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(Select("x", {}, "sweep").status().message()), HasSubstr("there are none yet"));
}

}  // namespace
}  // namespace seedbed
