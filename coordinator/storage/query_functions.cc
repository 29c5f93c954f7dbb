#include "coordinator/storage/query_functions.h"

#include <sqlite3.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/storage/linear_functions.h"

namespace seedbed {
namespace {

// Of a pattern's and a text's bytes: at 2 ns each, the most measured, a quarter of a second.
constexpr int64_t kMostComparisons = int64_t{1} << 27;

QueryFunctions* FunctionsOf(sqlite3_context* context) {
  return static_cast<QueryFunctions*>(sqlite3_user_data(context));
}

void Refuse(sqlite3_context* context, const std::string& why) {
  sqlite3_result_error(context, why.c_str(), static_cast<int>(why.size()));
}

bool IsLate(sqlite3_context* context) {
  if (!FunctionsOf(context)->IsLate()) return false;
  sqlite3_result_error_code(context, SQLITE_INTERRUPT);
  return true;
}

template <void (*kFunction)(sqlite3_context*, int, sqlite3_value**)>
void InTime(sqlite3_context* context, int count, sqlite3_value** arguments) {
  if (!IsLate(context)) kFunction(context, count, arguments);
}

const char* Text(sqlite3_value* value) {
  return reinterpret_cast<const char*>(sqlite3_value_text(value));
}

// Whether pattern and text are such that they are compared; if not, the result is set.
bool MayCompare(sqlite3_context* context, sqlite3_value* pattern, sqlite3_value* text) {
  static const bool matches_blobs = sqlite3_compileoption_used("LIKE_DOESNT_MATCH_BLOBS") == 0;
  if (!matches_blobs && (sqlite3_value_type(pattern) == SQLITE_BLOB || sqlite3_value_type(text) == SQLITE_BLOB)) {
    sqlite3_result_int(context, 0);
    return false;
  }
  const int64_t pattern_bytes = sqlite3_value_bytes(pattern);
  const int64_t text_bytes = sqlite3_value_bytes(text);
  if (pattern_bytes > sqlite3_limit(sqlite3_context_db_handle(context), SQLITE_LIMIT_LIKE_PATTERN_LENGTH, -1)) {
    Refuse(context, "LIKE or GLOB pattern too complex");
    return false;
  }
  if (pattern_bytes * text_bytes > kMostComparisons) {
    Refuse(context, absl::StrCat("to compare a LIKE or GLOB pattern of ", pattern_bytes, " bytes with a text of ",
                                 text_bytes, " takes too long; shorten the pattern, or the text by substr()"));
    return false;
  }
  return true;
}

void Glob(sqlite3_context* context, int, sqlite3_value** arguments) {
  if (!MayCompare(context, arguments[0], arguments[1])) return;
  const char* const pattern = Text(arguments[0]);
  const char* const text = Text(arguments[1]);
  if (pattern != nullptr && text != nullptr) sqlite3_result_int(context, sqlite3_strglob(pattern, text) == 0);
}

// The pattern with another escape character than one that is a wildcard, which sqlite3_strlike takes for that. Empty if
// nothing is left to take.
std::string WithoutWildcardAsEscape(const std::string& pattern, char* escape) {
  char other = 1;
  while (other > 0 && (other == '%' || other == '_' || pattern.find(other) != std::string::npos)) ++other;
  if (other <= 0) return "";
  std::string result;
  bool escaped = false;
  for (const char c : pattern) {
    escaped = c == *escape && !escaped;
    result.push_back(escaped ? other : c);
  }
  *escape = other;
  return result;
}

// The first character of `text`, which has no other; 0 if it has.
unsigned int OnlyCharacter(const std::string& text) {
  if (text.empty()) return 0;
  const auto first = static_cast<unsigned char>(text[0]);
  const size_t size = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (text.size() != size) return 0;
  unsigned int character = size == 1 ? first : first & (0x7fu >> size);
  for (size_t i = 1; i < size; ++i) character = character << 6 | (static_cast<unsigned char>(text[i]) & 0x3fu);
  return character;
}

void Like(sqlite3_context* context, int count, sqlite3_value** arguments) {
  if (!MayCompare(context, arguments[0], arguments[1])) return;
  unsigned int escape = 0;
  if (count == 3) {
    const char* const text = Text(arguments[2]);
    if (text == nullptr) return;
    escape = OnlyCharacter(text);
    if (escape == 0) return Refuse(context, "ESCAPE expression must be a single character");
  }
  const char* const pattern = Text(arguments[0]);
  const char* const text = Text(arguments[1]);
  if (pattern == nullptr || text == nullptr) return;
  if (escape != '%' && escape != '_') return sqlite3_result_int(context, sqlite3_strlike(pattern, text, escape) == 0);
  char other = static_cast<char>(escape);
  const std::string changed = WithoutWildcardAsEscape(pattern, &other);
  if (changed.empty() && *pattern != '\0') return Refuse(context, "LIKE pattern too complex for its ESCAPE character");
  sqlite3_result_int(context, sqlite3_strlike(changed.c_str(), text, static_cast<unsigned char>(other)) == 0);
}

// All widths and precisions of a format: SQLite writes a character as often as its precision says, if it keeps it or
// not.
int64_t PaddingOf(const char* format, int count, sqlite3_value** arguments) {
  constexpr int64_t kMostNumber = int64_t{1} << 31;
  int64_t padding = 0;
  int next = 1;
  const auto argument = [&] {
    const int64_t value = next < count ? sqlite3_value_int64(arguments[next]) : 0;
    ++next;
    return value < -kMostNumber ? kMostNumber : std::min(std::abs(value), kMostNumber);
  };
  for (const char* at = format; *at != '\0'; ++at) {
    if (*at != '%') continue;
    ++at;
    for (int64_t number = 0; *at != '\0'; ++at) {
      const bool digit = *at >= '0' && *at <= '9';
      number = digit ? std::min(10 * number + (*at - '0'), kMostNumber) : *at == '*' ? argument() : 0;
      if (digit && at[1] >= '0' && at[1] <= '9') continue;
      padding += number;
      number = 0;
      if (!digit && std::string("-+ #!,.*").find(*at) == std::string::npos) break;
    }
    while (*at == 'l') ++at;
    if (*at == '\0') break;
    if (*at != '%' && *at != 'n') ++next;
  }
  return padding;
}

void Printf(sqlite3_context* context, int count, sqlite3_value** arguments) {
  const int most = sqlite3_limit(sqlite3_context_db_handle(context), SQLITE_LIMIT_LENGTH, -1);
  const char* const format = count > 0 ? Text(arguments[0]) : nullptr;
  if (format == nullptr) return;
  if (PaddingOf(format, count, arguments) > most) {
    return Refuse(context, absl::StrCat("the widths and precisions of printf's format are above ", most, " in all"));
  }
  FunctionsOf(context)->CallOwnPrintf(context, count, arguments);
}

}  // namespace

QueryFunctions::~QueryFunctions() {
  sqlite3_finalize(printf_);
  sqlite3_close_v2(own_);
}

int QueryFunctions::PrepareOwnPrintf(int most_bytes, int arguments) {
  if (printf_ != nullptr && sqlite3_bind_parameter_count(printf_) == arguments) return SQLITE_OK;
  sqlite3_finalize(std::exchange(printf_, nullptr));
  if (own_ == nullptr) {
    const int code = sqlite3_open_v2(":memory:", &own_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
    if (code != SQLITE_OK) {
      sqlite3_close_v2(std::exchange(own_, nullptr));
      return code;
    }
    sqlite3_limit(own_, SQLITE_LIMIT_LENGTH, most_bytes);
  }
  const std::vector<std::string> parameters(static_cast<size_t>(arguments), "?");
  const std::string sql = absl::StrCat("SELECT printf(", absl::StrJoin(parameters, ", "), ")");
  return sqlite3_prepare_v2(own_, sql.c_str(), -1, &printf_, nullptr);
}

void QueryFunctions::CallOwnPrintf(sqlite3_context* context, int count, sqlite3_value** arguments) {
  int code = PrepareOwnPrintf(sqlite3_limit(sqlite3_context_db_handle(context), SQLITE_LIMIT_LENGTH, -1), count);
  for (int i = 0; i < count && code == SQLITE_OK; ++i) code = sqlite3_bind_value(printf_, i + 1, arguments[i]);
  if (code == SQLITE_OK) code = sqlite3_step(printf_);
  if (code == SQLITE_ROW) {
    sqlite3_result_value(context, sqlite3_column_value(printf_, 0));
  } else {
    sqlite3_result_error_code(context, code);
  }
  sqlite3_reset(printf_);
  sqlite3_clear_bindings(printf_);
}

void QueryFunctions::UseOn(sqlite3* handle) {
  const auto use = [this, handle](const char* name, int arguments,
                                  void (*function)(sqlite3_context*, int, sqlite3_value**)) {
    sqlite3_create_function_v2(handle, name, arguments, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, this,
                               function, nullptr, nullptr, nullptr);
  };
  use("instr", 2, &InTime<&LinearInstr>);
  use("replace", 3, &InTime<&LinearReplace>);
  for (const int arguments : {1, 2}) {
    use("ltrim", arguments, &InTime<&LinearLeftTrim>);
    use("rtrim", arguments, &InTime<&LinearRightTrim>);
    use("trim", arguments, &InTime<&LinearTrim>);
  }
  use("glob", 2, &InTime<&Glob>);
  use("like", 2, &InTime<&Like>);
  use("like", 3, &InTime<&Like>);
  use("printf", -1, &InTime<&Printf>);
  use("format", -1, &InTime<&Printf>);
}

}  // namespace seedbed
