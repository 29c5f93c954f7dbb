#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>

// For tests of what a power cut leaves. A program that links this has fsync, fdatasync and ftruncate of ours, for
// SQLite too: under a watched directory they note what is on the disk from then on, and elsewhere they are the
// system's.
namespace seedbed::storage_test {

// Of what was written and not synced, what the disk kept all the same.
enum class Kept {
  kNothing,     // neither names nor contents
  kNames,       // which files there are, and nothing that was written into them
  kTorn,        // some sectors of 4 KiB by the seed, and the names or not
  kEverything,  // as if a process had been killed
};

// One at a time. Not for changes by several threads at once.
class WatchedDisk {
 public:
  // What `directory` contains counts as synced.
  explicit WatchedDisk(const std::string& directory);
  ~WatchedDisk();
  WatchedDisk(const WatchedDisk&) = delete;
  WatchedDisk& operator=(const WatchedDisk&) = delete;

  // Called before every sync of something below the directory.
  void OnSync(std::function<void()> look) { look_ = std::move(look); }
  int syncs() const { return syncs_; }

  // Writes the directory as a power cut at this moment would leave it to the new directory `target`.
  void CutInto(const std::string& target, Kept kept, uint64_t seed = 0);

  // What fsync does; false if the file is none of ours.
  bool Sync(int descriptor);
  // Before a file is cut off there.
  void Truncate(int descriptor, int64_t length);

 private:
  using Names = std::map<std::string, ino_t>;
  struct Node {
    int descriptor = -1;  // held, so that no new file gets the number; closed late, since that drops SQLite's locks
    bool is_directory = false;
    std::string synced;   // a file's content
    int64_t cut_at = -1;  // and where it was cut off since; file systems do that as one, and write elsewhere then
    Names synced_names;   // a directory's files
    std::string path;     // where it was met first
  };

  Node* Meet(const std::string& path, ino_t number);
  // The directory's files now, each of them met.
  Names NamesIn(const std::string& path);
  void TakeAsSynced(Node* node);
  static std::string TornOf(const Node& node, uint64_t* dice);
  void Write(const Node& node, const std::string& target, Kept kept, uint64_t* dice);

  const std::string directory_;
  std::map<ino_t, Node> nodes_;
  ino_t root_ = 0;
  dev_t device_ = 0;
  std::function<void()> look_;
  bool looking_ = false;
  int syncs_ = 0;
};

}  // namespace seedbed::storage_test
