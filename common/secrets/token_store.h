#pragma once

#include <sys/types.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

// The tokens of a data directory: DATA/tokens.json, mode 0600, beside results.db and never in it. A token is 256 random
// bits; only its SHA-256 is kept. A plain hash is enough for such a token: nobody can try 2^256 of them, with or
// without the file, so salt and a slow hash, which protect what people choose, would add nothing but time to every
// call.
namespace seedbed {

// What a token allows; coordinator/access/access_rules.h says it call by call.
enum class Role {
  kAdmin,   // everything
  kSubmit,  // what read allows; submits sweeps and controls them
  kWorker,  // leases runs and reports on them; reads nothing
  kRead,    // looks at everything, changes nothing
};
const char* RoleName(Role role);
absl::StatusOr<Role> ParseRole(const std::string& name);

struct TokenEntry {
  std::string name;  // what people call it: letters, digits, '_', '.', '-'
  Role role = Role::kRead;
  std::string sha256;      // 64 lower-case hexadecimal digits, of the token's text
  std::string created_at;  // RFC 3339, UTC
};

std::string TokensPath(const std::string& data_directory);  // DATA/tokens.json

// Makes a token and returns it: the only time that it is seen. ALREADY_EXISTS if the name is taken; INVALID_ARGUMENT
// for a name that is none. The directory must exist. Safe beside other processes that do the same.
absl::StatusOr<std::string> CreateToken(const std::string& data_directory, const std::string& name, Role role,
                                        absl::Time now);
// By name. FAILED_PRECONDITION, from all functions here, if the file is damaged or open to others; UNAVAILABLE if it
// cannot be read at the moment.
absl::StatusOr<std::vector<TokenEntry>> ListTokens(const std::string& data_directory);
// NOT_FOUND if there is no such token.
absl::Status RevokeToken(const std::string& data_directory, const std::string& name);

// Compares in time that depends on the lengths only.
bool EqualInConstantTime(const std::string& a, const std::string& b);

// A running coordinator's view of the file: every look-up sees what was made or revoked before it. While the file is as
// it was when it was read, that is what counts, whether or not it could be read again. If it has changed and cannot be
// read, no token of it is good, not even those that were: they may have been revoked. Every look-up tries again, so
// that this ends with its reason. Thread-safe.
class TokenTable {
 public:
  explicit TokenTable(std::string data_directory) : path_(TokensPath(data_directory)) {}

  // The entry of the token with this hash; nullopt if there is none, or none any more. Errors are ListTokens': then no
  // token of the file is good.
  absl::StatusOr<std::optional<TokenEntry>> Find(const std::string& sha256);

 private:
  // Tells one version of the file from the next.
  struct Version {
    bool exists = false;
    ino_t inode = 0;
    int64_t size = 0;
    int64_t modified = 0;  // nanoseconds
    int64_t changed = 0;   // likewise
    mode_t mode = 0;
    bool operator==(const Version& other) const;
  };
  // nullopt if it cannot be told.
  std::optional<Version> Look() const;

  const std::string path_;
  std::mutex mutex_;
  std::optional<Version> version_;  // that entries_ were read from, if any; guarded by mutex_, as all below
  std::vector<TokenEntry> entries_;
};

}  // namespace seedbed
