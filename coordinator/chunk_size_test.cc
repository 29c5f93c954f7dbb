#include "coordinator/chunk_size.h"

#include <vector>

#include "gtest/gtest.h"

namespace seedbed {
namespace {

// The chunks that a change of `runs` runs takes where a commit costs `fixed` and each run `each`.
std::vector<int64_t> Chunks(int64_t runs, absl::Duration fixed, absl::Duration each) {
  ChunkSize size(64, 5'000);
  std::vector<int64_t> chunks;
  while (runs > 0) {
    chunks.push_back(size.runs());
    runs -= size.runs();
    size.Took(fixed + size.runs() * each);
  }
  return chunks;
}

TEST(ChunkSizeTest, GrowsWhereRunsCostLittle) {
  const std::vector<int64_t> chunks = Chunks(100'000, absl::Milliseconds(1), absl::Microseconds(10));
  EXPECT_EQ(chunks.front(), 64);
  EXPECT_EQ(chunks.back(), 5'000);
  EXPECT_LT(chunks.size(), 40u);
}

TEST(ChunkSizeTest, ShrinksUntilAChunkIsShortWhereRunsCostMuch) {
  const std::vector<int64_t> chunks = Chunks(1'000, absl::Milliseconds(1), absl::Milliseconds(40));
  for (size_t i = 5; i < chunks.size(); ++i) EXPECT_LE(chunks[i], 4) << i;
  EXPECT_EQ(Chunks(200, absl::Milliseconds(1), absl::Seconds(3)).back(), 1);
}

TEST(ChunkSizeTest, DoesNotShrinkWhereEveryCommitTakesLong) {
  for (const int64_t milliseconds : {160, 400, 3'000}) {
    const std::vector<int64_t> chunks = Chunks(1'000'000, absl::Milliseconds(milliseconds), absl::Microseconds(10));
    EXPECT_LT(chunks.size(), 400u) << milliseconds << " ms a commit";
    EXPECT_LT(Chunks(500, absl::Milliseconds(milliseconds), absl::ZeroDuration()).size(), 8u);
  }
}

// A busy moment is no reason to go on slowly, nor a quiet one to go on with what takes long.
TEST(ChunkSizeTest, ComesBackAfterAMomentOfAnotherKind) {
  ChunkSize size(64, 5'000);
  for (int i = 0; i < 20; ++i) size.Took(absl::Milliseconds(1));
  EXPECT_EQ(size.runs(), 5'000);
  size.Took(absl::Seconds(2));
  for (int i = 0; i < 20; ++i) size.Took(absl::Milliseconds(1));
  EXPECT_EQ(size.runs(), 5'000);
  for (int i = 0; i < 20; ++i) size.Took(absl::Milliseconds(100) * size.runs());
  EXPECT_LE(size.runs(), 2);
}

}  // namespace
}  // namespace seedbed
