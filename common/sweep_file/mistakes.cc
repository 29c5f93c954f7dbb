#include "common/sweep_file/mistakes.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/text.h"
#include "common/schema/shown_text.h"

namespace seedbed::sweep_file {
namespace {

constexpr size_t kMostKept = 50;

}  // namespace

Mistakes::Mistakes(std::string file_name, std::vector<std::string> arguments)
    : file_name_(std::move(file_name)), arguments_(std::move(arguments)) {}

bool Mistakes::is_full() const {
  return kept_.size() >= kMostKept;
}

void Mistakes::Add(Location where, std::string_view what) {
  ++count_;
  if (!is_full()) kept_.push_back({where, std::string(what)});
}

void Mistakes::AddExcess(Location where, std::string_view what) {
  excess_ = true;
  Add(where, what);
}

void Mistakes::Warn(Location where, std::string_view what) {
  if (warnings_.size() < kMostKept) warnings_.push_back({where, std::string(what)});
}

std::vector<std::string> Mistakes::warnings() const {
  std::vector<std::string> lines;
  for (const Mistake& warning : warnings_) lines.push_back(Shown(warning));
  return lines;
}

std::string Mistakes::Shown(const Mistake& mistake) const {
  const Location& where = mistake.where;
  if (where.argument < 0) return absl::StrCat(file_name_, ":", where.line, ":", where.column, ": ", mistake.what);
  const std::string& argument = arguments_[where.argument];
  const std::string shown = IsValidUtf8(argument) ? ShownText(argument) : absl::StrCat("number ", where.argument + 1);
  return absl::StrCat("argument ", shown, ":", where.column, ": ", mistake.what);
}

absl::Status Mistakes::ToStatus() const {
  if (empty()) return absl::OkStatus();
  std::vector<Mistake> sorted = kept_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Mistake& a, const Mistake& b) {
    return std::tie(a.where.argument, a.where.line, a.where.column) <
           std::tie(b.where.argument, b.where.line, b.where.column);
  });
  std::vector<std::string> lines;
  for (const Mistake& mistake : sorted) {
    std::string line = Shown(mistake);
    if (lines.empty() || lines.back() != line) lines.push_back(std::move(line));
  }
  if (count_ > static_cast<int>(kept_.size())) {
    lines.push_back(absl::StrCat(file_name_, ": and further mistakes"));
  }
  const std::string text = absl::StrJoin(lines, "\n");
  return excess_ ? absl::ResourceExhaustedError(text) : absl::InvalidArgumentError(text);
}

std::string DidYouMean(std::string_view word, const std::vector<std::string>& known) {
  const std::optional<std::string> nearest = NearestWord(word, known);
  return nearest ? absl::StrCat("; did you mean '", *nearest, "'?") : "";
}

}  // namespace seedbed::sweep_file
