#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "common/base/ids.h"

namespace seedbed {

// What runs print, in DATA/logs/<run>-<attempt>.log: bounded, and lossy with a marker in the text where something was
// dropped. Thread-safe; a thread of its own does the writing, so that nothing else ever waits for logs.
class RunLogs {
 public:
  struct Limits {
    int64_t most_file_bytes = 8 << 20;    // of one attempt
    int64_t most_queued_bytes = 8 << 20;  // not yet written, over all runs
  };
  explicit RunLogs(const std::string& data_directory) : RunLogs(data_directory, Limits()) {}
  RunLogs(const std::string& data_directory, Limits limits);
  // Writes out what is queued, and tells of what is lost.
  ~RunLogs();
  RunLogs(const RunLogs&) = delete;
  RunLogs& operator=(const RunLogs&) = delete;

  void Append(RunId run, int attempt, std::string text);
  // Text of this length never arrived here; the file will say so, unless very many runs' texts are lost at once: before
  // the attempt's next text, or when it is told to. A loss that cannot be written stays to be told.
  void Lose(RunId run, int attempt, int64_t bytes);
  void TellLoss(RunId run, int attempt);
  // Of attempts 1 to `attempts_of` each run; the other losses, of attempts that there are not, are forgotten.
  void TellLosses(const std::function<int(RunId)>& attempts_of);
  // Removes the logs of attempts 1 to `attempts`.
  void Delete(RunId run, int attempts);
  // Has those removed that OrphanLogs finds, before whatever is appended from now on. How many there are.
  size_t RemoveOrphans(const std::function<int(RunId)>& attempts_of);
  // Waits until all that was queued so far is written. For tests and the end.
  void Flush();

  static std::string Path(const std::string& data_directory, RunId run, int attempt);

 private:
  using Key = std::pair<RunId, int>;
  struct Job {
    Key key;
    std::string text;
    int64_t lost_before = 0;  // bytes dropped just before this text
    bool remove = false;
  };
  void Work();
  void Do(const Job& job);
  // mutex_ is held.
  void Count(const Key& key, int64_t bytes);
  std::map<Key, int64_t>::iterator Tell(std::map<Key, int64_t>::iterator loss);  // returns the next one

  const std::string data_directory_;
  const Limits limits_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> queue_;
  int64_t queued_bytes_ = 0;
  std::map<Key, int64_t> lost_;  // dropped, and not yet told in the file
  bool working_ = false;
  bool stopping_ = false;
  bool told_all_ = false;  // at the end
  std::thread thread_;
};

}  // namespace seedbed
