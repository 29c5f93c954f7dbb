#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace seedbed::core {

// Values by a dense, never reused id (StrongInt, from 1), in pages: no slack as a hash table has, entries never move,
// and a page whose entries are all gone is freed. `Value` has a member `id`, 0 where there is none. Not thread-safe.
template <typename Id, typename Value>
class IdTable {
 public:
  const Value* Find(Id id) const {
    const Page* page = PageOf(id);
    if (page == nullptr) return nullptr;
    const Value& value = page->values[Offset(id)];
    return value.id ? &value : nullptr;
  }
  Value* Find(Id id) { return const_cast<Value*>(std::as_const(*this).Find(id)); }

  // False, and nothing happens, if the id is not positive or is taken. `value.id` names the place.
  bool Insert(Value value) {
    if (value.id.value() <= 0) return false;
    const size_t index = static_cast<size_t>(value.id.value()) / kPageSize;
    if (index >= pages_.size()) pages_.resize(index + 1);
    if (pages_[index] == nullptr) pages_[index] = std::make_unique<Page>();
    Value& place = pages_[index]->values[Offset(value.id)];
    if (place.id) return false;
    place = std::move(value);
    ++pages_[index]->used;
    ++size_;
    return true;
  }

  // False if there is none.
  bool Erase(Id id) {
    Value* value = Find(id);
    if (value == nullptr) return false;
    std::unique_ptr<Page>& page = pages_[static_cast<size_t>(id.value()) / kPageSize];
    *value = Value();
    if (--page->used == 0) page.reset();
    --size_;
    return true;
  }

  // Calls visit(value) for each, by rising id.
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (const std::unique_ptr<Page>& page : pages_) {
      if (page == nullptr) continue;
      for (const Value& value : page->values) {
        if (value.id) visit(value);
      }
    }
  }

  int64_t size() const { return size_; }

 private:
  static constexpr size_t kPageSize = 256;
  struct Page {
    std::array<Value, kPageSize> values;
    size_t used = 0;
  };
  static size_t Offset(Id id) { return static_cast<size_t>(id.value()) % kPageSize; }
  const Page* PageOf(Id id) const {
    if (id.value() <= 0) return nullptr;
    const size_t index = static_cast<size_t>(id.value()) / kPageSize;
    return index < pages_.size() ? pages_[index].get() : nullptr;
  }

  std::vector<std::unique_ptr<Page>> pages_;
  int64_t size_ = 0;
};

}  // namespace seedbed::core
