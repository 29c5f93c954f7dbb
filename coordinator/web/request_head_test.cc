#include "coordinator/web/request_head.h"

#include <gtest/gtest.h>

#include <string>

namespace seedbed {
namespace {

// With one more header, or whatever `line` is.
std::string HeadWith(const std::string& line) {
  return "GET /metrics HTTP/1.1\r\nHost: localhost\r\n" + line + "\r\nContent-Length: 0\r\n\r\n";
}

TEST(RequestHead, OfTheUsualFormIsTaken) {
  EXPECT_TRUE(IsWellFormed("GET / HTTP/1.1\r\n\r\n"));
  for (const char* line : {"X: y", "X:y", "X:", "X:  ", "X: \ty\t", "!#$%&'*+-.^_`|~0aZ: \xc3\xa9: y", "accept: */*"}) {
    EXPECT_TRUE(IsWellFormed(HeadWith(line))) << line;
  }
}

TEST(RequestHead, WithASecondMeaningIsRefused) {
  using std::string_literals::operator""s;
  for (const std::string& line :
       {"X: a\nRange: bytes=0-1"s, "\nRange: bytes=0-1"s, "X: a\rRange: bytes=0-1"s, "X: a\0b"s, "X\0: a"s, "X: a\x7f"s,
        "X : a"s, "X\t: a"s, " X: a"s, "X: a\r\n b"s, "X: a\r\n\tb"s, "Xy"s, ": a"s, "X y: a"s, "X(: a"s,
        "host: localhost"s, "content-length: 0"s}) {
    EXPECT_FALSE(IsWellFormed(HeadWith(line))) << line;
  }
  for (const std::string& head : {"\r\n\r\n"s, "GET / HTTP/1.1\nHost: a\r\n\r\n"s, "GET /\0 HTTP/1.1\r\n\r\n"s,
                                  "GET /\rX HTTP/1.1\r\n\r\n"s, "GET\t/ HTTP/1.1\r\n\r\n"s}) {
    EXPECT_FALSE(IsWellFormed(head)) << head;
  }
}

TEST(RequestHead, ABareLineEndIsSeenBeforeTheHeadIsWhole) {
  EXPECT_TRUE(HasBareLineEnd("\n"));
  EXPECT_TRUE(HasBareLineEnd("GET / HTTP/1.1\n"));
  EXPECT_TRUE(HasBareLineEnd("GET / HTTP/1.1\r\nX: y\n"));
  EXPECT_TRUE(HasBareLineEnd("GET / HTTP/1.1\r\n\n"));
  EXPECT_FALSE(HasBareLineEnd("GET / HTTP/1.1\r"));
  EXPECT_FALSE(HasBareLineEnd("GET / HTTP/1.1\r\nX: y\r\n\r\n"));
}

TEST(RequestHead, LosesWhatIsIgnored) {
  for (const std::string line : {"Range: bytes=0-1", "range:bytes=0-1", "RANGE:", "Accept-Encoding: br"}) {
    std::string head = HeadWith(line + "\r\n" + line);
    DropIgnoredHeaders(&head);
    EXPECT_EQ(head, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n") << line;
  }
  for (const std::string line : {"X: Range: a", "If-Range: a", "Range-X: a"}) {
    std::string head = HeadWith(line);
    DropIgnoredHeaders(&head);
    EXPECT_EQ(head, HeadWith(line));
  }
}

}  // namespace
}  // namespace seedbed
