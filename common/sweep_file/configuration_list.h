#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/base/digest.h"

namespace seedbed {
namespace sweep_file {
class PointTexts;
}  // namespace sweep_file

// One point of a sweep's grid.
struct Configuration {
  Digest digest;                // of parameters_json: what makes it this configuration
  std::string parameters_json;  // canonical JSON of the flat parameters, defaults resolved
  std::string varied_json;      // canonical JSON of those that differ between the sweep's points, for tables
};

// The points of a sweep, in order. A point is kept as the numbers of its values, some 200 bytes; its texts, which take
// several times as much, are joined each time that it is asked for.
class ConfigurationList {
 public:
  class Iterator;

  ConfigurationList() = default;
  // `values` has one row of numbers a configuration, as `texts` takes them; `varied` says which of them differ.
  ConfigurationList(std::shared_ptr<const sweep_file::PointTexts> texts, std::vector<Digest> digests,
                    std::vector<int32_t> values, std::vector<bool> varied);

  size_t size() const { return digests_.size(); }
  bool empty() const { return digests_.empty(); }
  // `index` must be less than size().
  Configuration operator[](size_t index) const;

  // From here on varied_json has these parameters: where the points are added to others, more may differ.
  void SetVaried(const std::set<std::string>& names);

  Iterator begin() const;
  Iterator end() const;

 private:
  std::shared_ptr<const sweep_file::PointTexts> texts_;
  std::vector<Digest> digests_;
  std::vector<int32_t> values_;
  std::vector<bool> varied_;
};

class ConfigurationList::Iterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = Configuration;
  using difference_type = std::ptrdiff_t;
  using pointer = void;
  using reference = Configuration;

  Iterator(const ConfigurationList* list, size_t index) : list_(list), index_(index) {}
  Configuration operator*() const { return (*list_)[index_]; }
  Iterator& operator++() {
    ++index_;
    return *this;
  }
  bool operator==(const Iterator& other) const { return index_ == other.index_; }
  bool operator!=(const Iterator& other) const { return index_ != other.index_; }

 private:
  const ConfigurationList* list_;
  size_t index_;
};

inline ConfigurationList::Iterator ConfigurationList::begin() const {
  return {this, 0};
}
inline ConfigurationList::Iterator ConfigurationList::end() const {
  return {this, size()};
}

}  // namespace seedbed
