#include "coordinator/storage/query_authorizer.h"

#include <sqlite3.h>

#include <algorithm>
#include <iterator>

namespace seedbed {
namespace {

// In time linear in their arguments, but for those that others take the place of (linear_functions.h), without a look
// at anything else of this process. Not json_patch, which compares every key of the one text with every key of the
// other. Some are of newer versions than 3.40.
constexpr const char* kFunctions[] = {
    "->", "->>", "abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "ceil", "ceiling", "char",
    "coalesce", "concat", "concat_ws", "cos", "cosh", "current_date", "current_time", "current_timestamp", "date",
    "datetime", "degrees", "exp", "floor", "format", "glob", "hex", "if", "ifnull", "iif", "instr", "json",
    "json_array", "json_array_length", "json_extract", "json_insert", "json_object", "json_quote", "json_remove",
    "json_replace", "json_set", "json_type", "json_valid", "julianday", "length", "like", "likelihood", "likely", "ln",
    "log", "log10", "log2", "lower", "ltrim", "mod", "nullif", "octet_length", "pi", "pow", "power", "printf", "quote",
    "radians", "random", "randomblob", "replace", "round", "rtrim", "sign", "sin", "sinh", "soundex", "sqlite_version",
    "sqrt", "strftime", "substr", "substring", "tan", "tanh", "time", "timediff", "trim", "trunc", "typeof", "unhex",
    "unicode", "unixepoch", "unlikely", "upper", "zeroblob",
    // Of many rows.
    "avg", "count", "cume_dist", "dense_rank", "first_value", "group_concat", "json_group_array", "json_group_object",
    "lag", "last_value", "lead", "max", "median", "min", "nth_value", "ntile", "percent_rank", "percentile",
    "percentile_cont", "percentile_disc", "rank", "row_number", "string_agg", "sum", "total"};

// What describes the schema and changes nothing.
constexpr const char* kPragmas[] = {"table_info", "table_xinfo", "table_list",
                                    "index_list", "index_info",  "foreign_key_list"};

// Besides pragma_*, which are made when they are named and ask for their pragma when they are read.
constexpr const char* kVirtualTables[] = {"json_each", "json_tree", nullptr};

template <typename List>
bool Has(const List& list, const char* name) {
  return std::any_of(std::begin(list), std::end(list),
                     [name](const char* allowed) { return sqlite3_stricmp(name, allowed) == 0; });
}

int Authorize(void*, int action, const char* first, const char* second, const char*, const char*) {
  const auto answer = [](bool allowed) { return allowed ? SQLITE_OK : SQLITE_DENY; };
  switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE:
      return SQLITE_OK;
    case SQLITE_FUNCTION:
      return answer(second != nullptr && IsAllowedFunction(second));
    case SQLITE_UPDATE:
      // Asked when a table-valued function (json_each) declares its columns. The schema itself stays out of reach: the
      // connection is read-only, and writable_schema is a pragma.
      return answer(first != nullptr && sqlite3_stricmp(first, "sqlite_master") == 0);
    case SQLITE_PRAGMA:
      return answer(first != nullptr && Has(kPragmas, first));
    default:
      return SQLITE_DENY;
  }
}

}  // namespace

bool IsAllowedFunction(const char* name) {
  return Has(kFunctions, name);
}

void AllowOnlySelectOn(sqlite3* handle) {
  // One that is only refused when it is read has been made by then, by code that a query's text chose.
  sqlite3_drop_modules(handle, const_cast<const char**>(kVirtualTables));
  sqlite3_set_authorizer(handle, &Authorize, nullptr);
}

}  // namespace seedbed
