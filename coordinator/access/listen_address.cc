#include "coordinator/access/listen_address.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/loopback.h"

namespace seedbed {
namespace {

constexpr char kExpected[] = "expected HOST:PORT (127.0.0.1:7070; port 0 takes a free one) or unix:/path/to/socket";

}  // namespace

std::string ListenAddress::ToString() const {
  if (is_unix) return "unix:" + path;
  if (host.find(':') != std::string::npos) return absl::StrCat("[", host, "]:", port);
  return absl::StrCat(host, ":", port);
}

absl::StatusOr<ListenAddress> ParseListenAddress(const std::string& text) {
  ListenAddress address;
  const auto wrong = [&text] { return absl::InvalidArgumentError(absl::StrCat("'", text, "': ", kExpected)); };
  if (absl::StartsWith(text, "unix:")) {
    address.is_unix = true;
    address.path = text.substr(std::strlen("unix:"));
    if (absl::StartsWith(address.path, "//")) address.path = address.path.substr(2);
    if (address.path.empty()) return wrong();
    return address;
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return wrong();
  std::string host = text.substr(0, colon);
  if (host.front() == '[') {
    if (host.back() != ']' || host.size() < 3) return wrong();
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string::npos) {
    return wrong();
  }
  if (!absl::SimpleAtoi(text.substr(colon + 1), &address.port) || address.port < 0 || address.port > 65535) {
    return wrong();
  }
  address.host = host;
  address.is_loopback = IsLoopbackHost(host);
  return address;
}

absl::Status CheckSocketPath(const std::string& path) {
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("the socket path ", path, " is longer than the ",
                                                   sizeof(sockaddr_un::sun_path) - 1,
                                                   " bytes that a socket's name may have; choose a shorter one"));
  }
  const size_t slash = path.rfind('/');
  std::string directory = ".";
  if (slash == 0) directory = "/";
  if (slash != std::string::npos && slash > 0) directory = path.substr(0, slash);
  struct stat entry {};
  if (stat(directory.c_str(), &entry) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the socket's directory ", directory, ": ", std::strerror(errno), "; create it with mode 0700"));
  }
  if (!S_ISDIR(entry.st_mode) || entry.st_uid != geteuid() || (entry.st_mode & 0077) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "whoever reaches the socket ", path, " needs no token, so its directory must be yours alone: chmod 700 ",
        directory, ", or choose another directory"));
  }
  return absl::OkStatus();
}

absl::Status CheckAddress(const ListenAddress& address, bool encrypted, bool insecure) {
  if (address.is_unix) return CheckSocketPath(address.path);
  if (address.is_loopback || insecure || encrypted) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "listening on ", address.ToString(),
      " would send tokens and all results unencrypted over the network; give --tls-certificate and --tls-key (`seedbed "
      "tls init` makes them), or listen on 127.0.0.1 (with an SSH tunnel), or say --insecure where the network is "
      "trusted"));
}

}  // namespace seedbed
