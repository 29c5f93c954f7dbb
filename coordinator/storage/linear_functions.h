#pragma once

struct sqlite3_context;
struct sqlite3_value;

namespace seedbed {

// As SQLite's instr, replace, trim, ltrim and rtrim, in time proportional to their arguments' lengths. SQLite's own
// take the product of two of them, hours for texts of some MiB. Results are the same for well-formed text.
void LinearInstr(sqlite3_context* context, int count, sqlite3_value** arguments);
void LinearReplace(sqlite3_context* context, int count, sqlite3_value** arguments);
void LinearTrim(sqlite3_context* context, int count, sqlite3_value** arguments);
void LinearLeftTrim(sqlite3_context* context, int count, sqlite3_value** arguments);
void LinearRightTrim(sqlite3_context* context, int count, sqlite3_value** arguments);

}  // namespace seedbed
