#pragma once

#include <string>

#include "absl/status/status.h"

namespace seedbed {

// In `meta` of a backup: when it was taken, UTC microseconds. Store::Open makes another database of such a file.
inline constexpr char kBackupTakenAt[] = "backup_taken_at";

// A consistent copy of the database in one file (VACUUM INTO), written as `path`.part-PROCESS-NUMBER, synced and given
// its name. On a connection of its own: any thread may call it while the store writes. FAILED_PRECONDITION if something
// stands at `path`, also if it came meanwhile, and for a database of another program or a newer version;
// RESOURCE_EXHAUSTED for a full disk.
absl::Status BackupDatabase(const std::string& database_path, const std::string& path);

// What a backup is written as until it is whole: of this call alone.
std::string PartOfBackup(const std::string& path);

// The status of a system call's error.
absl::Status CannotWriteBackup(const std::string& path, int error);
absl::Status BackupExists(const std::string& path);

// Renames a file or directory to a name that nothing has. 0 or the system's error, EEXIST among them.
int GiveNewName(const std::string& from, const std::string& to);
// The same for a file, where the file system cannot do it in one step.
int GiveNewNameByLink(const std::string& from, const std::string& to);

}  // namespace seedbed
