#include "common/secrets/bearer_token.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace seedbed {
namespace {

constexpr size_t kMostBytes = 4096;

absl::StatusOr<std::string> Checked(const std::string& text, const std::string& where) {
  const std::string token(absl::StripAsciiWhitespace(text));
  bool plain = token.size() <= kMostBytes;
  // Anything else could not travel in a header, and gRPC would end the program.
  for (const char c : token) plain = plain && c > ' ' && c <= '~';
  if (plain) return token;
  return absl::InvalidArgumentError(
      absl::StrCat(where, " does not hold a token: expected one line such as `seedbed token create` prints"));
}

}  // namespace

absl::StatusOr<std::string> GivenToken(const std::string& path) {
  if (path.empty()) {
    const char* given = std::getenv("SEEDBED_TOKEN");
    return Checked(given == nullptr ? "" : given, "the environment variable SEEDBED_TOKEN");
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat("cannot read the token file ", path, ": ", std::strerror(errno)));
  std::ostringstream text;
  text << in.rdbuf();
  return Checked(text.str(), absl::StrCat("the token file ", path));
}

}  // namespace seedbed
