#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace seedbed {

// What a rollback journal says of the database that it was written for ("The Rollback Journal" of SQLite's file format:
// sqlite.org/fileformat2.html, section 3). It holds the pages as they were before a commit that did not end.
struct RollbackJournal {
  uint32_t nonce = 0;                      // drawn for each
  uint32_t pages = 0;                      // of the database before the commit
  std::optional<uint32_t> change_counter;  // of the database before the commit, if its first page is in the journal
};

// nullopt if there is none that SQLite would play back: no file, an empty one, or one that does not begin as journals
// do. At most 4,096 pages of it are looked at for the first one.
std::optional<RollbackJournal> ReadRollbackJournal(const std::string& path);

// Whether a database whose file begins with `header` (100 bytes) may be the one that the journal was written for: it is
// as before the commit, or it has the commit's first page already.
bool CouldBelongTo(std::string_view header, const RollbackJournal& journal);

}  // namespace seedbed
