#pragma once

#include <chrono>

struct sqlite3;
struct sqlite3_context;
struct sqlite3_stmt;
struct sqlite3_value;

namespace seedbed {

// Replaces, on a connection for queries, SQLite's functions that may take far more time than to read their arguments,
// since nothing interrupts a function: instr, replace, ltrim, rtrim and trim by ones in linear time
// (linear_functions.h), like and glob by ones that refuse a long pattern on a long text, printf and format by ones that
// refuse more padding than a text may have bytes. Each looks at the clock when it is called, and ends the statement as
// the progress handler does. Results are SQLite's own for well-formed text.
class QueryFunctions {
 public:
  // Until when they may be called; read at each call.
  explicit QueryFunctions(const std::chrono::steady_clock::time_point* deadline) : deadline_(deadline) {}
  ~QueryFunctions();
  QueryFunctions(const QueryFunctions&) = delete;
  QueryFunctions& operator=(const QueryFunctions&) = delete;

  // The connection must be closed first.
  void UseOn(sqlite3* handle);

  bool IsLate() const { return std::chrono::steady_clock::now() > *deadline_; }
  // Has SQLite's own answer, on a connection of its own.
  void CallOwnPrintf(sqlite3_context* context, int count, sqlite3_value** arguments);

 private:
  int PrepareOwnPrintf(int most_bytes, int arguments);

  const std::chrono::steady_clock::time_point* const deadline_;
  sqlite3* own_ = nullptr;          // once there was a printf
  sqlite3_stmt* printf_ = nullptr;  // of the latest call's count of arguments
};

}  // namespace seedbed
