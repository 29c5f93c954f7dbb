#include "common/sweep_file/yaml_builder.h"

#include <algorithm>
#include <memory>
#include <unordered_set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/schema/shown_text.h"

namespace seedbed::sweep_file {

bool YamlBuilder::CountNodes(Location location, int64_t nodes) {
  nodes_ += nodes;
  if (nodes_ <= limits_.most_nodes) return true;
  mistakes_->AddExcess(location, absl::StrCat("more than ", limits_.most_nodes,
                                              " values, with aliases followed; expected a smaller file"));
  return false;
}

bool YamlBuilder::CheckDepth(Location location, int height) {
  if (static_cast<int>(open_.size()) + height <= limits_.most_depth) return true;
  mistakes_->AddExcess(location, absl::StrCat("nested deeper than ", limits_.most_depth, " levels"));
  return false;
}

bool YamlBuilder::CheckTag(Location location, const std::string& tag) {
  if (tag.empty() || tag == "?" || tag == "!") return true;
  constexpr char kCorePrefix[] = "tag:yaml.org,2002:";
  if (absl::StartsWith(tag, kCorePrefix)) {
    const std::string name = tag.substr(sizeof(kCorePrefix) - 1);
    for (const char* core : {"str", "int", "float", "bool", "null", "map", "seq"}) {
      if (name == core) return true;
    }
  }
  mistakes_->Add(location, absl::StrCat("unknown tag ", ShownText(tag), "; expected none"));
  return false;
}

bool YamlBuilder::AddNull(Location location, Anchor anchor) {
  // The parser places nothing where the next thing is; people look for it at its key.
  if (!open_.empty() && open_.back().has_key) location = open_.back().key_location;
  auto node = std::make_shared<YamlNode>();
  node->location = location;
  if (anchor != 0) anchors_[anchor] = node;
  return CountNodes(location, 1) && Attach(std::move(node), location, false);
}

bool YamlBuilder::AddScalar(Location location, bool plain, Anchor anchor, const std::string& text) {
  auto node = std::make_shared<YamlNode>();
  node->kind = YamlNode::Kind::kScalar;
  node->location = location;
  node->text = text;
  if (anchor != 0) anchors_[anchor] = node;
  return CountNodes(location, 1) && Attach(std::move(node), location, plain);
}

bool YamlBuilder::AddAlias(Location location, Anchor anchor) {
  const auto found = anchors_.find(anchor);
  if (found == anchors_.end() || found->second == nullptr) {
    mistakes_->Add(location, "an alias to something that contains it");
    return false;
  }
  const YamlNodePtr node = found->second;
  return CountNodes(location, node->expanded_nodes) && CheckDepth(location, node->height) &&
         Attach(node, location, false);
}

bool YamlBuilder::Open(YamlNode::Kind kind, Location location, Anchor anchor) {
  if (!CountNodes(location, 1) || !CheckDepth(location, 1)) return false;
  if (expects_key()) {
    mistakes_->Add(location, absl::StrCat("expected a key, got ", kind == YamlNode::Kind::kMap ? "a map" : "a list"));
    return false;
  }
  Frame frame;
  frame.node = std::make_shared<YamlNode>();
  frame.node->kind = kind;
  frame.node->location = location;
  frame.anchor = anchor;
  if (anchor != 0) anchors_[anchor] = nullptr;
  open_.push_back(std::move(frame));
  return true;
}

bool YamlBuilder::Close() {
  Frame frame = std::move(open_.back());
  open_.pop_back();
  DropDuplicateKeys(frame.node.get());
  if (!frame.merges.empty() && !Merge(&frame)) return false;
  YamlNode& node = *frame.node;
  const auto include = [&](const YamlNode& child) {
    node.expanded_nodes += child.expanded_nodes;
    node.height = std::max(node.height, child.height + 1);
  };
  for (const YamlNodePtr& element : node.elements) include(*element);
  for (const YamlEntry& entry : node.entries) include(*entry.value);
  if (frame.anchor != 0) anchors_[frame.anchor] = frame.node;
  const Location location = node.location;
  return Attach(std::move(frame.node), location, false);
}

bool YamlBuilder::Attach(YamlNodePtr node, Location location, bool plain_text) {
  if (open_.empty()) {
    root_ = std::move(node);
    return true;
  }
  Frame& frame = open_.back();
  if (frame.node->is_sequence()) {
    frame.node->elements.push_back(std::move(node));
    return true;
  }
  if (frame.has_key) {
    AppendEntry(&frame, std::move(node));
    return true;
  }
  if (!node->is_scalar()) {
    mistakes_->Add(location, absl::StrCat("expected a key, got ", KindOf(*node)));
    return false;
  }
  frame.has_key = true;
  frame.key = node->text;
  frame.key_is_merge = plain_text && node->text == "<<";
  frame.key_location = location;
  return true;
}

void YamlBuilder::DropDuplicateKeys(YamlNode* map) {
  std::unordered_map<std::string, Location> first;
  const auto is_duplicate = [&](const YamlEntry& entry) {
    const auto [found, inserted] = first.emplace(entry.key, entry.key_location);
    if (inserted) return false;
    mistakes_->Add(entry.key_location, absl::StrCat("key ", ShownText(entry.key),
                                                    " stands here twice; the first is on line ", found->second.line));
    return true;
  };
  map->entries.erase(std::remove_if(map->entries.begin(), map->entries.end(), is_duplicate), map->entries.end());
}

void YamlBuilder::AppendEntry(Frame* frame, YamlNodePtr value) {
  YamlEntry entry{std::move(frame->key), frame->key_location, std::move(value)};
  frame->has_key = false;
  (frame->key_is_merge ? frame->merges : frame->node->entries).push_back(std::move(entry));
}

bool YamlBuilder::MergeMap(const YamlEntry& merge, const YamlNode& from, YamlNode* into) {
  if (!from.is_map()) {
    mistakes_->Add(merge.key_location, "expected an alias of a map, or a list of such, after <<");
    return false;
  }
  std::unordered_set<std::string> present;
  for (const YamlEntry& entry : into->entries) present.insert(entry.key);
  for (const YamlEntry& entry : from.entries) {
    if (!present.insert(entry.key).second) continue;
    // A map that is merged again and again grows by what it took before, which the alias alone did not count.
    if (!CountNodes(merge.key_location, entry.value->expanded_nodes)) return false;
    into->entries.push_back(entry);
  }
  return true;
}

bool YamlBuilder::Merge(Frame* frame) {
  for (const YamlEntry& merge : frame->merges) {
    if (!merge.value->is_sequence()) {
      if (!MergeMap(merge, *merge.value, frame->node.get())) return false;
      continue;
    }
    for (const YamlNodePtr& element : merge.value->elements) {
      if (!MergeMap(merge, *element, frame->node.get())) return false;
    }
  }
  return true;
}

}  // namespace seedbed::sweep_file
