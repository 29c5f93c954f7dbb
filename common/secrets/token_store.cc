#include "common/secrets/token_store.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"
#include "common/base/text.h"
#include "common/secrets/private_file.h"
#include "common/secrets/random_text.h"

namespace seedbed {
namespace {

constexpr int kTokenBytes = 32;
constexpr size_t kMostTokens = 10'000;
// So that people, and programs that look for leaked secrets, see what it is.
constexpr char kPrefix[] = "seedbed_";

struct NamedRole {
  Role role;
  const char* name;
};
constexpr NamedRole kRoles[] = {
    {Role::kAdmin, "admin"}, {Role::kSubmit, "submit"}, {Role::kWorker, "worker"}, {Role::kRead, "read"}};

// Only one process at a time changes the file; released when the descriptor is closed.
class Lock {
 public:
  static absl::StatusOr<Lock> Take(const std::string& data_directory) {
    const std::string path = data_directory + "/tokens.lock";
    const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int error = descriptor < 0 ? errno : 0;
    while (error == 0 && flock(descriptor, LOCK_EX) != 0) {
      if (errno != EINTR) error = errno;
    }
    if (error == 0) return Lock(descriptor);
    if (descriptor >= 0) close(descriptor);
    return absl::FailedPreconditionError(absl::StrCat("cannot lock ", path, ": ", std::strerror(error),
                                                      "; name the coordinator's data directory with --data"));
  }
  Lock(Lock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Lock& operator=(Lock&&) = delete;
  ~Lock() {
    if (descriptor_ >= 0) close(descriptor_);
  }

 private:
  explicit Lock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

absl::StatusOr<TokenEntry> EntryOf(const Json& json) {
  const auto text = [&json](const char* key) {
    const auto found = json.is_object() ? json.find(key) : json.end();
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  TokenEntry entry;
  entry.name = text("name");
  entry.sha256 = text("sha256");
  entry.created_at = text("created_at");
  SEEDBED_ASSIGN_OR_RETURN(entry.role, ParseRole(text("role")));
  if (!IsPlainName(entry.name) || entry.sha256.size() != 64) {
    return absl::InvalidArgumentError("expected a name and 64 hexadecimal digits");
  }
  return entry;
}

absl::StatusOr<std::vector<TokenEntry>> ReadTokens(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadPrivateFile(path);
  if (absl::IsNotFound(text.status())) return std::vector<TokenEntry>();
  if (!text.ok()) return text.status();
  const auto damaged = [&path](const absl::Status& why) {
    return absl::FailedPreconditionError(absl::StrCat("the tokens in ", path, " cannot be read: ", why.message(),
                                                      "; remove the file and make new tokens"));
  };
  const absl::StatusOr<Json> json = ParseJson(*text, path);
  if (!json.ok()) return damaged(json.status());
  const auto list = json->is_object() ? json->find("tokens") : json->end();
  if (list == json->end() || !list->is_array()) return damaged(absl::InvalidArgumentError("there is no list `tokens`"));
  std::vector<TokenEntry> entries;
  for (const Json& each : *list) {
    const absl::StatusOr<TokenEntry> entry = EntryOf(each);
    if (!entry.ok()) return damaged(entry.status());
    entries.push_back(*entry);
  }
  return entries;
}

absl::Status WriteTokens(const std::string& path, std::vector<TokenEntry> entries) {
  std::sort(entries.begin(), entries.end(), [](const TokenEntry& a, const TokenEntry& b) { return a.name < b.name; });
  Json list = Json::array();
  for (const TokenEntry& entry : entries) {
    list.push_back({{"name", entry.name},
                    {"role", RoleName(entry.role)},
                    {"sha256", entry.sha256},
                    {"created_at", entry.created_at}});
  }
  return WritePrivateFile(path, Json{{"tokens", std::move(list)}}.dump(2) + "\n");
}

int64_t Nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

const char* RoleName(Role role) {
  for (const NamedRole& each : kRoles) {
    if (each.role == role) return each.name;
  }
  return "none";
}

absl::StatusOr<Role> ParseRole(const std::string& name) {
  for (const NamedRole& each : kRoles) {
    if (name == each.name) return each.role;
  }
  return absl::InvalidArgumentError(absl::StrCat("role \"", name, "\": expected admin, submit, worker or read"));
}

std::string TokensPath(const std::string& data_directory) {
  return data_directory + "/tokens.json";
}

absl::StatusOr<std::string> CreateToken(const std::string& data_directory, const std::string& name, Role role,
                                        absl::Time now) {
  if (!IsPlainName(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", name, "\" cannot be a token's name: expected 1 to 128 letters, digits, '_', '.', '-'"));
  }
  const std::string path = TokensPath(data_directory);
  SEEDBED_ASSIGN_OR_RETURN(const Lock lock, Lock::Take(data_directory));
  SEEDBED_ASSIGN_OR_RETURN(std::vector<TokenEntry> entries, ReadTokens(path));
  const bool taken = std::any_of(entries.begin(), entries.end(), [&](const TokenEntry& e) { return e.name == name; });
  if (taken) {
    return absl::AlreadyExistsError(
        absl::StrCat("there is a token \"", name, "\" already; choose another name, or revoke that one first"));
  }
  if (entries.size() >= kMostTokens) {
    return absl::ResourceExhaustedError(absl::StrCat("there are ", kMostTokens, " tokens; revoke some first"));
  }
  const std::string token = kPrefix + RandomHex(kTokenBytes);
  entries.push_back({name, role, Sha256Hex(token), absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", now, absl::UTCTimeZone())});
  SEEDBED_RETURN_IF_ERROR(WriteTokens(path, std::move(entries)));
  return token;
}

absl::StatusOr<std::vector<TokenEntry>> ListTokens(const std::string& data_directory) {
  return ReadTokens(TokensPath(data_directory));
}

absl::Status RevokeToken(const std::string& data_directory, const std::string& name) {
  const std::string path = TokensPath(data_directory);
  SEEDBED_ASSIGN_OR_RETURN(const Lock lock, Lock::Take(data_directory));
  SEEDBED_ASSIGN_OR_RETURN(std::vector<TokenEntry> entries, ReadTokens(path));
  const auto found =
      std::find_if(entries.begin(), entries.end(), [&](const TokenEntry& entry) { return entry.name == name; });
  if (found == entries.end()) {
    return absl::NotFoundError(
        absl::StrCat("there is no token \"", name, "\" in ", data_directory, "; `seedbed token list` lists them"));
  }
  entries.erase(found);
  return WriteTokens(path, std::move(entries));
}

bool EqualInConstantTime(const std::string& a, const std::string& b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

bool TokenTable::Version::operator==(const Version& other) const {
  return exists == other.exists && inode == other.inode && size == other.size && modified == other.modified &&
         changed == other.changed && mode == other.mode;
}

std::optional<TokenTable::Version> TokenTable::Look() const {
  struct stat file {};
  Version version;
  if (stat(path_.c_str(), &file) != 0) return errno == ENOENT ? std::optional<Version>(version) : std::nullopt;
  version.exists = true;
  version.inode = file.st_ino;
  version.size = file.st_size;
  version.modified = Nanoseconds(file.st_mtim);
  version.changed = Nanoseconds(file.st_ctim);
  version.mode = file.st_mode;
  return version;
}

absl::StatusOr<std::optional<TokenEntry>> TokenTable::Find(const std::string& sha256) {
  const std::lock_guard<std::mutex> lock(mutex_);
  // Looked at before it is read: a change in between is read once more.
  const std::optional<Version> now = Look();
  if (!now || !(now == version_)) {
    SEEDBED_ASSIGN_OR_RETURN(entries_, ReadTokens(path_));
    version_ = now;
  }
  // To the end even after a hit, so that the time tells nothing of the place.
  std::optional<TokenEntry> found;
  for (const TokenEntry& entry : entries_) {
    if (EqualInConstantTime(entry.sha256, sha256)) found = entry;
  }
  return found;
}

}  // namespace seedbed
