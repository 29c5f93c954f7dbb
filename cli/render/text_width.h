#pragma once

#include <string>
#include <string_view>

// Text as a terminal shows it: how many columns it takes, and cutting and padding to a number of them.
namespace seedbed::cli {

// Columns that `utf8` takes: 0 for combining marks, 2 for East Asian wide characters and emoji, 1 for the rest. `utf8`
// must hold no control characters (see Printable).
int DisplayWidth(std::string_view utf8);

// At most `width` columns of `utf8`; "…" stands for what was cut off.
std::string Truncate(std::string_view utf8, int width);

std::string PadRight(std::string_view utf8, int width);
std::string PadLeft(std::string_view utf8, int width);

// `text` made safe for one line of a terminal: control characters as "\n", "\t" or "\x1b", bytes that are no UTF-8 as
// U+FFFD. Names, reasons and cells of the database pass through it, so that none of them can move the cursor.
std::string Printable(std::string_view text);

// What a program printed, for a terminal: line ends, tabs, carriage returns and what sets colours (ECMA-48, SGR) stay
// as they are; other control characters, which could hide text, retitle the window or answer for the keyboard, come as
// Printable has them.
std::string PrintableLines(std::string_view text);

// How many bytes at the end of `text` begin a character, or what sets colours, of which the rest has not come yet.
size_t UnfinishedBytes(std::string_view text);

}  // namespace seedbed::cli
