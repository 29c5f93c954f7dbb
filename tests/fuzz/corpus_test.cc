#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fuzz/messages.h"

// A corpus that names a method wrongly tries another one, and says nothing.
namespace seedbed::fuzz {
namespace {

// The methods that the files of a corpus name.
std::set<std::string> NamedIn(const std::string& corpus) {
  std::set<std::string> named;
  for (const auto& each : std::filesystem::directory_iterator(std::string(SEEDBED_FUZZ_CORPUS) + "/" + corpus)) {
    std::ifstream file(each.path());
    for (std::string line; std::getline(file, line);) {
      if (line.rfind("== ", 0) == 0) named.insert(line.substr(3, line.find(' ', 3) - 3));
    }
  }
  return named;
}

TEST(Corpus, TheServersHasEveryMethod) {
  EXPECT_THAT(NamedIn("server"), ::testing::UnorderedElementsAreArray(MethodNames()));
}

TEST(Corpus, NamesMethodsThatThereAre) {
  for (const char* corpus : {"rpc", "answers"}) {
    EXPECT_FALSE(NamedIn(corpus).empty());
    for (const std::string& name : NamedIn(corpus)) EXPECT_THAT(MethodNames(), ::testing::Contains(name)) << corpus;
  }
}

TEST(Corpus, AnyNameStandsForAMethod) {
  std::set<std::string> reached;
  for (int i = 0; i < 1000; ++i) {
    const std::string text = "== Name" + std::to_string(i) + "\n";
    const std::vector<Call> calls = CallsOf(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    ASSERT_EQ(calls.size(), 1u);
    reached.insert(calls[0].method);
  }
  EXPECT_THAT(reached, ::testing::UnorderedElementsAreArray(MethodNames()));
}

}  // namespace
}  // namespace seedbed::fuzz
