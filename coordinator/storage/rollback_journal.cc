#include "coordinator/storage/rollback_journal.h"

#include <algorithm>
#include <array>
#include <fstream>

namespace seedbed {
namespace {

constexpr std::array<char, 8> kMagic = {'\xd9', '\xd5', '\x05', '\xf9', '\x20', '\xa1', '\x63', '\xd7'};
constexpr int64_t kMostPages = 4096;
constexpr uint32_t kCountedByTheFilesSize = 0xffffffff;
// Within a journal's header.
constexpr size_t kCountAt = 8;
constexpr size_t kNonceAt = 12;
constexpr size_t kPagesAt = 16;
constexpr size_t kSectorAt = 20;
constexpr size_t kPageSizeAt = 24;
constexpr size_t kHeaderBytes = 28;
// Within a database's first page.
constexpr size_t kChangeCounterAt = 24;
constexpr size_t kDatabasePagesAt = 28;

uint32_t BigEndian(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = at; i < at + 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

class JournalFile {
 public:
  explicit JournalFile(const std::string& path) : file_(path, std::ios::binary) {}

  // Empty at the end of the file.
  std::string Read(int64_t at, size_t bytes) {
    std::string text(bytes, '\0');
    file_.clear();
    file_.seekg(at);
    if (!file_.read(text.data(), static_cast<std::streamsize>(bytes))) return "";
    return text;
  }

 private:
  std::ifstream file_;
};

bool StartsAsJournalsDo(std::string_view header) {
  return header.size() == kHeaderBytes && std::equal(kMagic.begin(), kMagic.end(), header.begin());
}

}  // namespace

std::optional<RollbackJournal> ReadRollbackJournal(const std::string& path) {
  JournalFile file(path);
  int64_t at = 0;
  std::string header = file.Read(at, kHeaderBytes);
  if (!StartsAsJournalsDo(header)) return std::nullopt;
  RollbackJournal journal;
  journal.nonce = BigEndian(header, kNonceAt);
  journal.pages = BigEndian(header, kPagesAt);
  const int64_t sector = std::max<int64_t>(BigEndian(header, kSectorAt), kHeaderBytes);
  const int64_t record = int64_t{4} + BigEndian(header, kPageSizeAt) + 4;  // number, page, checksum
  // A header, its records, and at the next sector perhaps another header.
  for (int64_t seen = 0; seen < kMostPages && StartsAsJournalsDo(header);) {
    const uint32_t count = BigEndian(header, kCountAt);
    at += sector;
    for (uint32_t i = 0; i < count && seen < kMostPages; ++i, ++seen, at += record) {
      const std::string begin = file.Read(at, 4 + kDatabasePagesAt);
      if (begin.empty()) {
        if (count != kCountedByTheFilesSize) break;
        return journal;
      }
      if (BigEndian(begin, 0) != 1) continue;
      journal.change_counter = BigEndian(begin, 4 + kChangeCounterAt);
      return journal;
    }
    at = (at + sector - 1) / sector * sector;
    header = file.Read(at, kHeaderBytes);
  }
  return journal;
}

bool CouldBelongTo(std::string_view header, const RollbackJournal& journal) {
  const uint32_t counter = BigEndian(header, kChangeCounterAt);
  if (journal.change_counter) return counter == *journal.change_counter || counter == *journal.change_counter + 1;
  // A new database's first commit: there was no first page.
  if (journal.pages == 0) return counter <= 1;
  return BigEndian(header, kDatabasePagesAt) == journal.pages;
}

}  // namespace seedbed
