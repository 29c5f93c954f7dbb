#include "cli/printed_command.h"

#include "absl/strings/str_cat.h"

namespace seedbed::cli {

std::string ShellWord(const std::string& text) {
  constexpr char kPlain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:,=@%+-";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::string WithOptions(const std::string& program, const std::vector<std::pair<std::string, std::string>>& options) {
  std::string command = program;
  for (const auto& [option, value] : options) {
    if (!value.empty()) absl::StrAppend(&command, " ", option, " ", ShellWord(value));
  }
  return command;
}

}  // namespace seedbed::cli
