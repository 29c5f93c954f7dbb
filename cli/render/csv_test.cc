#include "cli/render/csv.h"

#include <gtest/gtest.h>

namespace seedbed::cli {
namespace {

// Reads one record as RFC 4180 defines it, independently of the writer.
std::vector<std::string> Read(const std::string& record) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (size_t i = 0; i < record.size(); ++i) {
    const char c = record[i];
    if (quoted && c == '"' && i + 1 < record.size() && record[i + 1] == '"') {
      fields.back() += '"';
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && c == ',') {
      fields.emplace_back();
    } else if (!quoted && c == '\n') {
      EXPECT_EQ(i + 1, record.size());
    } else {
      fields.back() += c;
    }
  }
  EXPECT_FALSE(quoted);
  return fields;
}

TEST(Csv, QuotesOnlyWhatNeedsIt) {
  EXPECT_EQ(CsvRecord({"a", "", "b c", "0.5"}), "a,,b c,0.5\n");
  EXPECT_EQ(CsvRecord({"a,b", "say \"x\"", "two\nlines", "cr\r"}),
            "\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",\"cr\r\"\n");
  EXPECT_EQ(CsvRecord({""}), "\"\"\n");
}

TEST(Csv, ReadsBack) {
  const std::vector<std::string> alphabet = {"", ",", "\"", "\n", "\r", "a", "\"\"", ",\"\n", "λ"};
  for (const std::string& a : alphabet) {
    for (const std::string& b : alphabet) {
      for (const std::string& c : alphabet) {
        const std::vector<std::string> fields = {a + b, b + c, c};
        EXPECT_EQ(Read(CsvRecord(fields)), fields);
      }
    }
  }
}

}  // namespace
}  // namespace seedbed::cli
