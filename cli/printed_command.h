#pragma once

#include <string>
#include <utility>
#include <vector>

// Command lines that are printed for people to paste.
namespace seedbed::cli {

// `text` as one word of a shell's command.
std::string ShellWord(const std::string& text);

// `program` with those of the options that have a value, quoted where a shell would read them otherwise.
std::string WithOptions(const std::string& program, const std::vector<std::pair<std::string, std::string>>& options);

}  // namespace seedbed::cli
