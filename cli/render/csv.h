#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace seedbed::cli {

// One field by RFC 4180: in double quotes, with those inside doubled, where it has a comma, a quote or a line break.
std::string CsvField(std::string_view text);

// One record, ended by a line feed alone, as the tools of this platform expect (RFC 4180 would have CR LF).
std::string CsvRecord(const std::vector<std::string>& fields);

}  // namespace seedbed::cli
