#pragma once

struct sqlite3;

namespace seedbed {

// Replaces SQLite's instr, replace, trim, ltrim and rtrim on a connection by ones that take time proportional to their
// arguments' lengths. SQLite's own take the product of two of them, hours for texts of some MiB, and nothing interrupts
// a function. Results are the same for well-formed text.
void UseLinearFunctions(sqlite3* handle);

}  // namespace seedbed
