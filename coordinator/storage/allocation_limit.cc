#include "coordinator/storage/allocation_limit.h"

#include <sqlite3.h>

#include "absl/strings/str_cat.h"

namespace seedbed {
namespace {

// Of an amount that SQLite asks for between two looks at the clock: microseconds.
constexpr int64_t kRequestsBetweenLooks = 64;

thread_local AllocationLimit* limit_of_this_thread = nullptr;
sqlite3_mem_methods systems;  // written once, before SQLite asks for anything

bool MayHave(int64_t more) {
  AllocationLimit* const limit = limit_of_this_thread;
  if (limit == nullptr) return true;
  if (limit->bytes + more > limit->most_bytes) {
    limit->refused = AllocationLimit::Refused::kMemory;
    return false;
  }
  // Once late, always late: SQLite may pass over a single refusal.
  if ((limit->requests++ % kRequestsBetweenLooks == 0 || limit->refused == AllocationLimit::Refused::kTime) &&
      std::chrono::steady_clock::now() > limit->deadline) {
    limit->refused = AllocationLimit::Refused::kTime;
    return false;
  }
  return true;
}

void Count(int64_t bytes) {
  if (limit_of_this_thread != nullptr) limit_of_this_thread->bytes += bytes;
}

void* Allocate(int bytes) {
  if (!MayHave(bytes)) return nullptr;
  void* const memory = systems.xMalloc(bytes);
  if (memory != nullptr) Count(systems.xSize(memory));
  return memory;
}

void Free(void* memory) {
  if (memory != nullptr) Count(-systems.xSize(memory));
  systems.xFree(memory);
}

void* Reallocate(void* memory, int bytes) {
  const int before = systems.xSize(memory);
  if (bytes > before && !MayHave(bytes - before)) return nullptr;
  void* const moved = systems.xRealloc(memory, bytes);
  if (moved != nullptr) Count(systems.xSize(moved) - before);
  return moved;
}

absl::Status Install() {
  int code = sqlite3_config(SQLITE_CONFIG_GETMALLOC, &systems);
  if (code == SQLITE_OK) {
    sqlite3_mem_methods ours = systems;
    ours.xMalloc = &Allocate;
    ours.xFree = &Free;
    ours.xRealloc = &Reallocate;
    code = sqlite3_config(SQLITE_CONFIG_MALLOC, &ours);
  }
  if (code == SQLITE_OK) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(
      "cannot limit what SQLite allocates for queries: ", sqlite3_errstr(code),
      "; it was used by another part of this program before: please report this as a bug of Seedbed"));
}

}  // namespace

AllocationScope::AllocationScope(AllocationLimit* limit) : outer_(limit_of_this_thread) {
  limit_of_this_thread = limit;
}

AllocationScope::~AllocationScope() {
  limit_of_this_thread = outer_;
}

absl::Status LimitAllocations() {
  static const absl::Status* const installed = new absl::Status(Install());
  return *installed;
}

}  // namespace seedbed
