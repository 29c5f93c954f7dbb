#include "coordinator/storage/linear_functions.h"

#include <sqlite3.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_set.h"

namespace seedbed {
namespace {

bool IsBlob(sqlite3_value* value) {
  return sqlite3_value_type(value) == SQLITE_BLOB;
}

// Lives as long as the value; nullopt for NULL.
std::optional<std::string_view> TextOf(sqlite3_value* value) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(value));
  if (text == nullptr) return std::nullopt;
  return std::string_view(text, static_cast<size_t>(sqlite3_value_bytes(value)));
}
// The same, but that a blob is not turned into text, which others who use the value would see.
std::optional<std::string_view> BytesOf(sqlite3_value* value) {
  if (!IsBlob(value)) return TextOf(value);
  const auto* bytes = static_cast<const char*>(sqlite3_value_blob(value));
  return bytes == nullptr ? std::string_view()
                          : std::string_view(bytes, static_cast<size_t>(sqlite3_value_bytes(value)));
}

// Of UTF-8: no character begins with it.
bool Continues(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
}

// memmem takes linear time, unlike string_view::find.
size_t Find(std::string_view text, std::string_view part, size_t from) {
  const void* found = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  return found == nullptr ? std::string_view::npos : static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

void ReturnText(sqlite3_context* context, std::string_view text) {
  sqlite3_result_text64(context, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

// The characters that a text begins or ends with.
std::string_view First(std::string_view text) {
  size_t size = 1;
  // As SQLite takes them apart, be they well-formed or not.
  if (static_cast<unsigned char>(text[0]) >= 0xc0) {
    while (size < text.size() && Continues(text[size])) ++size;
  }
  return text.substr(0, size);
}
std::string_view Last(std::string_view text) {
  size_t begin = text.size() - 1;
  while (begin > 0 && Continues(text[begin])) --begin;
  return text.substr(begin);
}

constexpr int kLeft = 1;
constexpr int kRight = 2;

void Trim(sqlite3_context* context, int count, sqlite3_value** arguments, int sides) {
  auto text = TextOf(arguments[0]);
  if (!text.has_value()) return;
  auto rest = count == 1 ? std::string_view(" ") : TextOf(arguments[1]);
  if (!rest.has_value()) return;
  absl::flat_hash_set<std::string_view> characters;
  while (!rest->empty()) {
    const std::string_view first = First(*rest);
    characters.insert(first);
    rest->remove_prefix(first.size());
  }
  while ((sides & kLeft) != 0 && !text->empty() && characters.contains(First(*text))) {
    text->remove_prefix(First(*text).size());
  }
  while ((sides & kRight) != 0 && !text->empty() && characters.contains(Last(*text))) {
    text->remove_suffix(Last(*text).size());
  }
  ReturnText(context, *text);
}

}  // namespace

// instr(text, part): the place of the first, from 1, in characters (in bytes, of two blobs); 0: none.
void LinearInstr(sqlite3_context* context, int, sqlite3_value** arguments) {
  const bool blobs = IsBlob(arguments[0]) && IsBlob(arguments[1]);
  const auto text = BytesOf(arguments[0]);
  const auto part = BytesOf(arguments[1]);
  if (!text.has_value() || !part.has_value()) return;
  if (part->empty()) return sqlite3_result_int64(context, 1);
  size_t found = std::string_view::npos;
  if (blobs || !Continues(part->front())) {
    found = Find(*text, *part, 0);
  } else if (text->substr(0, part->size()) == *part) {
    found = 0;  // the only place where a character can begin so
  }
  if (found == std::string_view::npos) return sqlite3_result_int64(context, 0);
  int64_t place = 1 + static_cast<int64_t>(found);
  if (!blobs) place -= std::count_if(text->begin() + 1, text->begin() + 1 + static_cast<int64_t>(found), &Continues);
  sqlite3_result_int64(context, place);
}

void LinearReplace(sqlite3_context* context, int, sqlite3_value** arguments) {
  const auto text = TextOf(arguments[0]);
  const auto part = TextOf(arguments[1]);
  if (!text.has_value() || !part.has_value()) return;
  if (part->empty() || part->front() == '\0') return sqlite3_result_value(context, arguments[0]);
  const auto with = TextOf(arguments[2]);
  if (!with.has_value()) return;
  const auto most =
      static_cast<size_t>(sqlite3_limit(sqlite3_context_db_handle(context), SQLITE_LIMIT_LENGTH, /*newVal=*/-1));
  std::string result;
  size_t at = 0;
  while (true) {
    const size_t found = Find(*text, *part, at);
    result += text->substr(at, found - at);  // to the end without one
    if (found == std::string_view::npos) break;
    result += *with;
    at = found + part->size();
    if (result.size() > most) return sqlite3_result_error_toobig(context);
  }
  ReturnText(context, result);
}

void LinearTrim(sqlite3_context* context, int count, sqlite3_value** arguments) {
  Trim(context, count, arguments, kLeft | kRight);
}
void LinearLeftTrim(sqlite3_context* context, int count, sqlite3_value** arguments) {
  Trim(context, count, arguments, kLeft);
}
void LinearRightTrim(sqlite3_context* context, int count, sqlite3_value** arguments) {
  Trim(context, count, arguments, kRight);
}

}  // namespace seedbed
