#include "cli/embedded/private_socket.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/str_cat.h"

namespace seedbed::cli {
namespace {

constexpr char kPrefix[] = "seedbed-";
constexpr char kSocketName[] = "/socket";
constexpr size_t kMostPathBytes = 107;  // sockaddr_un.sun_path, less the final zero

// True if nobody listens at `path` although there is a socket.
bool IsAbandoned(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return false;
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return false;
  const bool refused =
      connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 && errno == ECONNREFUSED;
  close(descriptor);
  return refused;
}

// Removes what killed commands of this user left in `parent`. Young directories are left alone: their coordinator may
// be about to listen.
void SweepAbandoned(const std::string& parent) {
  constexpr time_t kLeastAgeSeconds = 60;
  DIR* directory = opendir(parent.c_str());
  if (directory == nullptr) return;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name.rfind(kPrefix, 0) != 0 || name.size() != strlen(kPrefix) + strlen("XXXXXX")) continue;
    const std::string path = absl::StrCat(parent, "/", name);
    struct stat found;
    if (lstat(path.c_str(), &found) != 0 || !S_ISDIR(found.st_mode) || found.st_uid != geteuid()) continue;
    if (time(nullptr) - found.st_mtime < kLeastAgeSeconds || !IsAbandoned(path + kSocketName)) continue;
    unlink((path + kSocketName).c_str());
    rmdir(path.c_str());
  }
  closedir(directory);
}

}  // namespace

absl::StatusOr<std::unique_ptr<PrivateSocket>> PrivateSocket::Create() {
  std::vector<std::string> parents;
  const char* runtime = getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && runtime[0] == '/') parents.push_back(runtime);
  parents.push_back("/tmp");
  int error = 0;
  for (const std::string& parent : parents) {
    std::string pattern = absl::StrCat(parent, "/", kPrefix, "XXXXXX");
    if (pattern.size() + strlen(kSocketName) > kMostPathBytes) continue;
    SweepAbandoned(parent);
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
