#include "coordinator/selector.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/base/text.h"

namespace seedbed {
namespace {

std::optional<int64_t> ReadId(const std::string& word) {
  int64_t id = 0;
  if (word.empty() || !std::all_of(word.begin(), word.end(), [](unsigned char c) { return absl::ascii_isdigit(c); }) ||
      !absl::SimpleAtoi(word, &id)) {
    return std::nullopt;
  }
  return id;
}

std::optional<std::pair<int64_t, int64_t>> ReadRange(const std::string& word) {
  const size_t dash = word.find('-');
  if (dash == std::string::npos) return std::nullopt;
  const std::optional<int64_t> first = ReadId(word.substr(0, dash));
  const std::optional<int64_t> last = ReadId(word.substr(dash + 1));
  if (!first || !last) return std::nullopt;
  return std::make_pair(*first, *last);
}

absl::Status UnknownWord(const std::string& word, const std::vector<Selectable>& known, const std::string& kind) {
  std::vector<std::string> names{"last", "all"};
  for (const Selectable& each : known) names.push_back(each.name);
  std::string message = absl::StrCat("there is no ", kind, " '", word, "'");
  if (const std::optional<std::string> nearest = NearestWord(word, names)) {
    absl::StrAppend(&message, "; did you mean '", *nearest, "'?");
  } else if (known.empty()) {
    absl::StrAppend(&message, "; there are none yet");
  } else {
    absl::StrAppend(&message, "; give a name, an id, a range of ids (3-7), last or all");
  }
  return absl::NotFoundError(message);
}

absl::Status SelectWord(const std::string& word, const std::vector<Selectable>& known, const std::string& kind,
                        std::set<int64_t>* selected) {
  for (const Selectable& each : known) {
    if (each.name == word) {
      selected->insert(each.id);
      return absl::OkStatus();
    }
  }
  if (word == "all") {
    for (const Selectable& each : known) selected->insert(each.id);
    return absl::OkStatus();
  }
  if (word == "last") {
    if (known.empty()) return UnknownWord(word, known, kind);
    const auto highest = std::max_element(known.begin(), known.end(),
                                          [](const Selectable& a, const Selectable& b) { return a.id < b.id; });
    selected->insert(highest->id);
    return absl::OkStatus();
  }
  std::optional<std::pair<int64_t, int64_t>> range = ReadRange(word);
  if (const std::optional<int64_t> id = ReadId(word)) range = {*id, *id};
  if (!range) return UnknownWord(word, known, kind);
  if (range->first > range->second) {
    return absl::InvalidArgumentError(
        absl::StrCat("the range '", word, "' runs backwards; write the smaller id first"));
  }
  bool found = false;
  for (const Selectable& each : known) {
    if (each.id < range->first || each.id > range->second) continue;
    selected->insert(each.id);
    found = true;
  }
  return found ? absl::OkStatus() : UnknownWord(word, known, kind);
}

}  // namespace

absl::StatusOr<std::vector<int64_t>> Select(const std::string& selector, const std::vector<Selectable>& known,
                                            const std::string& kind) {
  std::set<int64_t> selected;
  for (absl::string_view part : absl::StrSplit(selector, ',')) {
    const std::string word(absl::StripAsciiWhitespace(part));
    if (word.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("'", selector, "' holds an empty word; give a ", kind,
                                                     "'s name, an id, a range of ids (3-7), last or all"));
    }
    SEEDBED_RETURN_IF_ERROR(SelectWord(word, known, kind, &selected));
  }
  return std::vector<int64_t>(selected.begin(), selected.end());
}

}  // namespace seedbed
