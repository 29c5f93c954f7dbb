#include "coordinator/storage/power_cut.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace seedbed::storage_test {
namespace {

namespace fs = std::filesystem;

constexpr size_t kSector = 4096;  // what SQLite takes a disk to write as one

WatchedDisk* watched = nullptr;

[[noreturn]] void Die(const std::string& what) {
  std::cerr << "power cut: " << what << "\n";
  std::abort();
}

struct stat StatusOf(const std::string& path) {
  struct stat found;
  if (lstat(path.c_str(), &found) != 0) Die("cannot look at " + path);
  return found;
}

std::string ContentOf(int descriptor) {
  std::string content;
  std::string piece(1 << 16, '\0');
  while (true) {
    const ssize_t count = pread(descriptor, piece.data(), piece.size(), static_cast<off_t>(content.size()));
    if (count < 0) Die("cannot read");
    if (count == 0) return content;
    content.append(piece, 0, static_cast<size_t>(count));
  }
}

// splitmix64
uint64_t Next(uint64_t* dice) {
  uint64_t mixed = *dice += 0x9e3779b97f4a7c15;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

// Each sector as it was synced or as it is now; the file ends where one of both does, or behind a sector that is there.
std::string Torn(const std::string& synced, const std::string& now, uint64_t* dice) {
  const bool ends_as_now = Next(dice) % 2 == 0;
  std::string torn(ends_as_now ? now.size() : synced.size(), '\0');
  for (size_t begin = 0; begin < std::max(synced.size(), now.size()); begin += kSector) {
    const std::string& from = Next(dice) % 2 == 0 ? now : synced;
    if (begin >= from.size()) continue;
    const std::string sector = from.substr(begin, kSector);
    // What was cut off comes back with the end of the file only.
    if (begin >= torn.size() && &from == &synced) continue;
    if (torn.size() < begin + sector.size()) torn.resize(begin + sector.size());
    torn.replace(begin, sector.size(), sector);
  }
  return torn;
}

}  // namespace

WatchedDisk::WatchedDisk(const std::string& directory) : directory_(directory) {
  const struct stat found = StatusOf(directory);
  root_ = found.st_ino;
  device_ = found.st_dev;
  Meet(directory, root_);
  for (auto& [number, node] : nodes_) TakeAsSynced(&node);
  watched = this;
}

WatchedDisk::~WatchedDisk() {
  watched = nullptr;
  for (const auto& [number, node] : nodes_) close(node.descriptor);
}

WatchedDisk::Node* WatchedDisk::Meet(const std::string& path, ino_t number) {
  const auto found = nodes_.find(number);
  if (found != nodes_.end()) return &found->second;
  Node& node = nodes_[number];
  node.path = path;
  node.descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (node.descriptor < 0) Die("cannot open " + path);
  node.is_directory = fs::is_directory(path);
  if (node.is_directory) NamesIn(path);
  return &node;
}

WatchedDisk::Names WatchedDisk::NamesIn(const std::string& path) {
  Names names;
  for (const auto& each : fs::directory_iterator(path)) {
    const struct stat found = StatusOf(each.path().string());
    if (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode)) continue;
    names[each.path().filename().string()] = found.st_ino;
    Meet(each.path().string(), found.st_ino);
  }
  return names;
}

void WatchedDisk::TakeAsSynced(Node* node) {
  if (node->is_directory) {
    node->synced_names = NamesIn(node->path);
  } else {
    node->synced = ContentOf(node->descriptor);
    node->cut_at = -1;
  }
}

bool WatchedDisk::Sync(int descriptor) {
  struct stat found;
  if (fstat(descriptor, &found) != 0 || found.st_dev != device_) return false;
  // A file that was removed while it is open is met by its number alone.
  std::vector<std::string> directories;
  for (const auto& [number, node] : nodes_) {
    if (node.is_directory) directories.push_back(node.path);
  }
  for (const std::string& path : directories) {
    if (fs::is_directory(path)) NamesIn(path);
  }
  const auto node = nodes_.find(found.st_ino);
  if (node == nodes_.end()) return false;
  if (look_ && !std::exchange(looking_, true)) {
    look_();
    looking_ = false;
  }
  TakeAsSynced(&node->second);
  ++syncs_;
  return true;
}

void WatchedDisk::Truncate(int descriptor, int64_t length) {
  struct stat found;
  if (fstat(descriptor, &found) != 0 || found.st_dev != device_ || found.st_size <= length) return;
  const auto node = nodes_.find(found.st_ino);
  if (node == nodes_.end()) return;
  int64_t& cut_at = node->second.cut_at;
  cut_at = cut_at < 0 ? length : std::min(cut_at, length);
}

std::string WatchedDisk::TornOf(const Node& node, uint64_t* dice) {
  const std::string now = ContentOf(node.descriptor);
  if (node.cut_at < 0) return Torn(node.synced, now, dice);
  if (Next(dice) % 2 == 0) return node.synced;
  return Torn(node.synced.substr(0, static_cast<size_t>(node.cut_at)), now, dice);
}

void WatchedDisk::Write(const Node& node, const std::string& target, Kept kept, uint64_t* dice) {
  if (!node.is_directory) {
    std::string content = node.synced;
    if (kept == Kept::kEverything) content = ContentOf(node.descriptor);
    if (kept == Kept::kTorn) content = TornOf(node, dice);
    std::ofstream(target, std::ios::binary) << content;
    return;
  }
  const bool new_names = kept == Kept::kTorn ? Next(dice) % 2 == 0 : kept != Kept::kNothing;
  fs::create_directory(target);
  fs::permissions(target, fs::perms::owner_all);
  const Names names = new_names && fs::is_directory(node.path) ? NamesIn(node.path) : node.synced_names;
  for (const auto& [name, number] : names) Write(nodes_.at(number), absl::StrCat(target, "/", name), kept, dice);
}

void WatchedDisk::CutInto(const std::string& target, Kept kept, uint64_t seed) {
  uint64_t dice = seed;
  Write(nodes_.at(root_), target, kept, &dice);
}

namespace {

int SyncOf(long call, int descriptor) {
  if (watched != nullptr && watched->Sync(descriptor)) return 0;
  return static_cast<int>(syscall(call, descriptor));
}

int Truncate(int descriptor, int64_t length) {
  if (watched != nullptr) watched->Truncate(descriptor, length);
  return static_cast<int>(syscall(SYS_ftruncate, descriptor, length));
}

}  // namespace
}  // namespace seedbed::storage_test

// In place of the C library's, for the program's own code and for its shared libraries.
extern "C" int fsync(int descriptor) {
  return seedbed::storage_test::SyncOf(SYS_fsync, descriptor);
}
extern "C" int fdatasync(int descriptor) {
  return seedbed::storage_test::SyncOf(SYS_fdatasync, descriptor);
}
extern "C" int ftruncate(int descriptor, off_t length) {
  return seedbed::storage_test::Truncate(descriptor, length);
}
extern "C" int ftruncate64(int descriptor, off64_t length) {
  return seedbed::storage_test::Truncate(descriptor, length);
}
