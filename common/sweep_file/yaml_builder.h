#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/sweep_file/yaml_reader.h"

namespace seedbed::sweep_file {

// Builds a document from a stream of parsing events, and stops it at the first thing that has no sense or no end: each
// method returns false once a mistake makes going on useless. Duplicate keys are added as mistakes without stopping.
class YamlBuilder {
 public:
  // Anchors are numbered by the parser; 0 means none.
  using Anchor = size_t;

  YamlBuilder(const SweepLimits& limits, Mistakes* mistakes) : limits_(limits), mistakes_(mistakes) {}

  bool AddNull(Location location, Anchor anchor);
  // `plain` means unquoted: only a plain << is a merge key.
  bool AddScalar(Location location, bool plain, Anchor anchor, const std::string& text);
  bool AddAlias(Location location, Anchor anchor);
  bool Open(YamlNode::Kind kind, Location location, Anchor anchor);
  bool Close();
  // Only the tags of YAML's own core types, which change nothing here, are taken.
  bool CheckTag(Location location, const std::string& tag);

  // Whether the next thing would be the key of a map.
  bool expects_key() const { return !open_.empty() && open_.back().node->is_map() && !open_.back().has_key; }
  // The document's root once it is closed, else nullptr.
  const YamlNodePtr& root() const { return root_; }

 private:
  struct Frame {
    std::shared_ptr<YamlNode> node;
    Anchor anchor = 0;
    // Of a map: the key whose value comes next.
    bool has_key = false;
    bool key_is_merge = false;
    std::string key;
    Location key_location;
    std::vector<YamlEntry> merges;
  };

  bool Attach(YamlNodePtr node, Location location, bool plain_text);
  bool CountNodes(Location location, int64_t nodes);
  bool CheckDepth(Location location, int height);
  void AppendEntry(Frame* frame, YamlNodePtr value);
  void DropDuplicateKeys(YamlNode* map);
  bool Merge(Frame* frame);
  bool MergeMap(const YamlEntry& merge, const YamlNode& from, YamlNode* into);

  const SweepLimits limits_;
  Mistakes* const mistakes_;
  std::vector<Frame> open_;
  std::unordered_map<Anchor, YamlNodePtr> anchors_;  // nullptr while the node is still open
  YamlNodePtr root_;
  int64_t nodes_ = 0;
};

}  // namespace seedbed::sweep_file
