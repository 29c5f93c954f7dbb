#include "common/sweep_file/yaml_reader.h"

#include <optional>
#include <sstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/text.h"
#include "common/schema/shown_text.h"
#include "common/sweep_file/yaml_builder.h"
#include "common/sweep_file/yaml_text.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/exceptions.h"
#include "yaml-cpp/mark.h"
#include "yaml-cpp/parser.h"

namespace seedbed::sweep_file {
namespace {

// Unwinds yaml-cpp's parser after the builder has added a mistake; never leaves this file.
struct StopReading {};

Location LocationOf(const YAML::Mark& mark) {
  if (mark.is_null()) return Location{};
  return Location{-1, mark.line + 1, mark.column + 1};
}

Location LocationOfByte(const std::string& text, size_t offset) {
  Location location;
  for (size_t i = 0; i < offset; ++i) {
    ++location.column;
    if (text[i] == '\n') ++location.line, location.column = 1;
  }
  return location;
}

// Passes yaml-cpp's events to the builder.
class EventAdapter final : public YAML::EventHandler {
 public:
  EventAdapter(const std::string& text, YamlBuilder* builder, Mistakes* mistakes)
      : text_(text), builder_(builder), mistakes_(mistakes) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Check(builder_->AddNull(LocationOf(mark), anchor));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Check(builder_->AddAlias(LocationOf(mark), anchor));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    last_scalar_ = OffsetOf(mark);
    Check(builder_->CheckTag(LocationOf(mark), tag) &&
          builder_->AddScalar(LocationOf(mark), tag == "?", anchor, value));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(YamlNode::Kind::kSequence, mark, tag, anchor);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(YamlNode::Kind::kMap, mark, tag, anchor);
  }
  void OnMapEnd() override { Close(); }

  // yaml-cpp takes the end of the file for the end of a quoted text. True, with a mistake, where that has happened.
  bool FindUnclosedQuote() {
    const std::optional<size_t> quote = last_scalar_ ? UnclosedQuote(text_, *last_scalar_) : std::nullopt;
    if (quote) mistakes_->Add(LocationOfByte(text_, *quote), "a quote that is never closed");
    return quote.has_value();
  }
  // The same for the innermost list or map that is still open.
  bool FindUnclosedBracket() { return !open_.empty() && AddUnclosedBracket(UnclosedBracket(text_, open_.back())); }

 private:
  void Open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    const size_t offset = OffsetOf(mark);
    // "[[" without an end looks to the parser like the beginning of a key that is a list.
    if (builder_->expects_key() && AddUnclosedBracket(UnclosedBracket(text_, offset))) throw StopReading{};
    Check(builder_->CheckTag(LocationOf(mark), tag) && builder_->Open(kind, LocationOf(mark), anchor));
    open_.push_back(offset);
  }
  void Close() {
    open_.pop_back();
    Check(builder_->Close());
  }
  bool AddUnclosedBracket(std::optional<size_t> at) {
    if (!at) return false;
    mistakes_->Add(LocationOfByte(text_, *at), absl::StrCat("a ", text_.substr(*at, 1), " that is never closed"));
    return true;
  }
  // yaml-cpp does not count a byte order mark.
  size_t OffsetOf(const YAML::Mark& mark) const {
    const size_t skipped = text_.compare(0, 3, "\xef\xbb\xbf") == 0 ? 3 : 0;
    return mark.is_null() ? text_.size() : static_cast<size_t>(mark.pos) + skipped;
  }
  static void Check(bool go_on) {
    if (!go_on) throw StopReading{};
  }

  const std::string& text_;
  YamlBuilder* const builder_;
  Mistakes* const mistakes_;
  std::vector<size_t> open_;           // where the lists and maps that are open begin
  std::optional<size_t> last_scalar_;  // where the newest one begins
};

// A second document is noticed at its start, so that it costs nothing.
class SecondDocumentHandler final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    location = LocationOf(mark);
    throw StopReading{};
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

  Location location;
};

// What YAML does not allow, or what yaml-cpp would take for another encoding.
bool CheckBytes(const std::string& text, Mistakes* mistakes) {
  size_t offset = 0;
  if (!IsValidUtf8(text, &offset)) {
    mistakes->Add(LocationOfByte(text, offset), "a byte that is not UTF-8; expected the whole file in UTF-8");
    return false;
  }
  bool in_indentation = true;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7F) {
      mistakes->Add(LocationOfByte(text, i), absl::StrCat("a control character (", byte, "); expected printable text"));
      return false;
    }
    if (byte == '\t' && in_indentation) {
      mistakes->Add(LocationOfByte(text, i), "a tab in the indentation; expected spaces");
      return false;
    }
    in_indentation = byte == '\n' || (in_indentation && byte == ' ');
  }
  return true;
}

// False if the document could not be read to its end.
bool Parse(const std::string& text, YamlBuilder* builder, Mistakes* mistakes) {
  EventAdapter adapter(text, builder, mistakes);
  SecondDocumentHandler second;
  bool first_is_read = false;
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    const bool found = parser.HandleNextDocument(adapter);
    if (adapter.FindUnclosedQuote()) return false;
    if (!found || builder->root() == nullptr || builder->root()->is_null()) {
      mistakes->Add(Location{}, "the file is empty; expected a sweep (name, parameters, budget, …)");
      return false;
    }
    first_is_read = true;
    parser.HandleNextDocument(second);
    return true;
  } catch (const StopReading&) {
    if (first_is_read) mistakes->Add(second.location, "a second document; expected one sweep in a file");
  } catch (const YAML::Exception& error) {
    const bool told = !first_is_read && (adapter.FindUnclosedQuote() || adapter.FindUnclosedBracket());
    if (!told) mistakes->Add(LocationOf(error.mark), absl::StrCat("not YAML: ", error.msg));
  }
  return false;
}

}  // namespace

const YamlEntry* YamlNode::Find(const std::string& key) const {
  for (const YamlEntry& entry : entries) {
    if (entry.key == key) return &entry;
  }
  return nullptr;
}

std::string KindOf(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kScalar:
      return ShownText(node.text);
    case YamlNode::Kind::kSequence:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a map";
  }
  return "";
}

YamlNodePtr ReadYaml(const std::string& text, const SweepLimits& limits, Mistakes* mistakes) {
  if (static_cast<int64_t>(text.size()) > limits.most_file_bytes) {
    mistakes->AddExcess(Location{},
                        absl::StrCat("the file is too large; expected at most ", limits.most_file_bytes, " bytes"));
    return nullptr;
  }
  if (!CheckBytes(text, mistakes)) return nullptr;
  YamlBuilder builder(limits, mistakes);
  if (!Parse(text, &builder, mistakes)) return nullptr;
  if (!builder.root()->is_map()) {
    mistakes->Add(builder.root()->location,
                  absl::StrCat("expected a map of the sweep's keys (name, parameters, budget, …), got ",
                               KindOf(*builder.root())));
    return nullptr;
  }
  return builder.root();
}

}  // namespace seedbed::sweep_file
