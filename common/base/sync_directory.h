#pragma once

#include <string>

namespace seedbed {

// The directory in which `path` stands: "." for a bare name.
std::string DirectoryOf(const std::string& path);

// Makes the names in a directory survive a power cut: what was synced under a name that was not is lost with it.
// Returns 0 or the error's number. A directory that this user may pass but not read cannot be asked for it (EACCES).
int SyncDirectory(const std::string& directory);

}  // namespace seedbed
