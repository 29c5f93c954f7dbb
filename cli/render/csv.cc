#include "cli/render/csv.h"

namespace seedbed::cli {

std::string CsvField(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

std::string CsvRecord(const std::vector<std::string>& fields) {
  std::string record;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) record += ',';
    record += CsvField(fields[i]);
  }
  // A lone empty field would read as an empty line, which readers skip.
  if (fields.size() == 1 && fields[0].empty()) record = "\"\"";
  return record + "\n";
}

}  // namespace seedbed::cli
