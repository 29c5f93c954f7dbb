#pragma once

struct sqlite3;

namespace seedbed {

// From now on nothing but SELECT over the database's own tables and views can be prepared on this connection. Functions
// and virtual tables are those of a list: a library may be built with others, which read or write what they like
// (fts3_tokenizer takes the address of code to call).
void AllowOnlySelectOn(sqlite3* handle);

// Whether a query may call it.
bool IsAllowedFunction(const char* name);

}  // namespace seedbed
