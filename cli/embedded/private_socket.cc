#include "cli/embedded/private_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/str_cat.h"

namespace seedbed::cli {
namespace {

constexpr size_t kMostPathBytes = 107;  // sockaddr_un.sun_path, less the final zero

}  // namespace

absl::StatusOr<std::unique_ptr<PrivateSocket>> PrivateSocket::Create() {
  std::vector<std::string> parents;
  const char* runtime = getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && runtime[0] == '/') parents.push_back(runtime);
  parents.push_back("/tmp");
  int error = 0;
  for (const std::string& parent : parents) {
    std::string pattern = absl::StrCat(parent, "/seedbed-XXXXXX");
    if (pattern.size() + strlen("/socket") > kMostPathBytes) continue;
    if (mkdtemp(pattern.data()) != nullptr) return std::unique_ptr<PrivateSocket>(new PrivateSocket(pattern));
    error = errno;
  }
  return absl::FailedPreconditionError(
      absl::StrCat("cannot make a directory for the private socket in ", parents.back(), ": ", strerror(error)));
}

PrivateSocket::~PrivateSocket() {
  unlink(path().c_str());
  rmdir(directory_.c_str());
}

}  // namespace seedbed::cli
