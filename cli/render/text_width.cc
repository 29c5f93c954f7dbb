#include "cli/render/text_width.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <iterator>

namespace seedbed::cli {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

struct Decoded {
  char32_t character;
  int bytes;  // at least 1
  bool valid;
};

// The character at the start of `text` (not empty), by RFC 3629.
Decoded DecodeOne(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1, true};
  int length = 0;
  char32_t value = 0;
  char32_t least = 0;
  if ((first & 0xE0) == 0xC0) {
    length = 2, value = first & 0x1F, least = 0x80;
  } else if ((first & 0xF0) == 0xE0) {
    length = 3, value = first & 0x0F, least = 0x800;
  } else if ((first & 0xF8) == 0xF0) {
    length = 4, value = first & 0x07, least = 0x10000;
  } else {
    return {kReplacement, 1, false};
  }
  if (text.size() < static_cast<size_t>(length)) return {kReplacement, 1, false};
  for (int i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {kReplacement, 1, false};
    value = (value << 6) | (byte(i) & 0x3F);
  }
  if (value < least || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return {kReplacement, 1, false};
  return {value, length, true};
}

struct Range {
  char32_t first;
  char32_t last;
};

// Unicode 15: characters of general category Mn, Me and Cf that are likely in names. Not complete; a miss costs a
// misaligned column.
constexpr Range kZeroWidth[] = {{0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A},
                                {0x064B, 0x065F}, {0x06D6, 0x06DC}, {0x0900, 0x0902}, {0x093C, 0x093C},
                                {0x0E31, 0x0E31}, {0x0E34, 0x0E3A}, {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF},
                                {0x200B, 0x200F}, {0x202A, 0x202E}, {0x2060, 0x2064}, {0x20D0, 0x20F0},
                                {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF}, {0xE0100, 0xE01EF}};

// East_Asian_Width W and F (Unicode Standard Annex 11), merged into blocks.
constexpr Range kWide[] = {
    {0x1100, 0x115F},   {0x231A, 0x231B},   {0x23E9, 0x23EC},   {0x25FD, 0x25FE},  {0x2614, 0x2615}, {0x26A1, 0x26A1},
    {0x26BD, 0x26BE},   {0x2705, 0x2705},   {0x274C, 0x274C},   {0x2753, 0x2755},  {0x2795, 0x2797}, {0x2B1B, 0x2B1C},
    {0x2E80, 0x303E},   {0x3041, 0x33FF},   {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},  {0xA000, 0xA4CF}, {0xA960, 0xA97F},
    {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},  {0xFFE0, 0xFFE6}, {0x1F300, 0x1F64F},
    {0x1F680, 0x1F6FF}, {0x1F900, 0x1F9FF}, {0x1FA70, 0x1FAFF}, {0x20000, 0x3FFFD}};

template <size_t N>
bool InRanges(const Range (&ranges)[N], char32_t character) {
  const Range* end = std::end(ranges);
  const Range* found = std::lower_bound(std::begin(ranges), end, character,
                                        [](const Range& range, char32_t value) { return range.last < value; });
  return found != end && found->first <= character;
}

int WidthOf(char32_t character) {
  if (character < 0x300) return 1;
  if (InRanges(kZeroWidth, character)) return 0;
  return InRanges(kWide, character) ? 2 : 1;
}

// Of "ESC [ digits and semicolons m" at the beginning of `text`; 0 if it begins with something else.
size_t ColorSequenceLength(std::string_view text) {
  if (text.substr(0, 2) != "\x1b[") return 0;
  const size_t end = text.find_first_not_of("0123456789;", 2);
  return end != std::string_view::npos && text[end] == 'm' ? end + 1 : 0;
}

}  // namespace

int DisplayWidth(std::string_view utf8) {
  int width = 0;
  while (!utf8.empty()) {
    const Decoded one = DecodeOne(utf8);
    width += WidthOf(one.character);
    utf8.remove_prefix(one.bytes);
  }
  return width;
}

std::string Truncate(std::string_view utf8, int width) {
  if (DisplayWidth(utf8) <= width) return std::string(utf8);
  if (width <= 0) return "";
  std::string kept;
  int used = 0;
  while (!utf8.empty()) {
    const Decoded one = DecodeOne(utf8);
    const int next = WidthOf(one.character);
    if (used + next > width - 1) break;  // one column is kept for the ellipsis
    kept.append(utf8.substr(0, one.bytes));
    used += next;
    utf8.remove_prefix(one.bytes);
  }
  return kept + "…";
}

std::string PadRight(std::string_view utf8, int width) {
  return std::string(utf8) + std::string(std::max(0, width - DisplayWidth(utf8)), ' ');
}

std::string PadLeft(std::string_view utf8, int width) {
  return std::string(std::max(0, width - DisplayWidth(utf8)), ' ') + std::string(utf8);
}

std::string Printable(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  while (!text.empty()) {
    const Decoded one = DecodeOne(text);
    if (!one.valid) {
      safe += "\uFFFD";
    } else if (one.character == '\n') {
      safe += "\\n";
    } else if (one.character == '\t') {
      safe += "\\t";
    } else if (one.character < 0x20 || (one.character >= 0x7F && one.character < 0xA0)) {
      char escaped[8];
      std::snprintf(escaped, sizeof(escaped), "\\x%02x", static_cast<unsigned>(one.character));
      safe += escaped;
    } else {
      safe.append(text.substr(0, one.bytes));
    }
    text.remove_prefix(one.bytes);
  }
  return safe;
}

size_t UnfinishedBytes(std::string_view text) {
  constexpr size_t kLongestColorSequence = 32;
  const size_t escape = text.rfind('\x1b');
  if (escape != std::string_view::npos && text.size() - escape < kLongestColorSequence) {
    const std::string_view rest = text.substr(escape + 1);
    const bool begins = rest.empty() || (rest[0] == '[' && rest.find_first_not_of("0123456789;", 1) == rest.npos);
    if (begins) return text.size() - escape;
  }
  for (size_t bytes = 1; bytes <= 3 && bytes <= text.size(); ++bytes) {
    const auto byte = static_cast<unsigned char>(text[text.size() - bytes]);
    if (byte < 0x80) return 0;
    if (byte < 0xC0) continue;  // within a character
    const size_t whole = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
    return whole > bytes ? bytes : 0;
  }
  return 0;
}

std::string PrintableLines(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  while (!text.empty()) {
    size_t kept = ColorSequenceLength(text);
    if (kept == 0 && (text[0] == '\n' || text[0] == '\t' || text[0] == '\r')) kept = 1;
    if (kept > 0) {
      safe.append(text.substr(0, kept));
      text.remove_prefix(kept);
      continue;
    }
    const size_t bytes = DecodeOne(text).bytes;
    safe += Printable(text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
  return safe;
}

}  // namespace seedbed::cli
