#include "coordinator/run_logs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "coordinator/orphan_files.h"

namespace seedbed {
namespace {

// Those whom a worker names, who may be none.
constexpr size_t kMostLosses = 100'000;

// How much of it was written. Best effort: logs are lossy, and a full disk must not disturb anything else.
size_t WriteAll(int descriptor, const std::string& text) {
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = write(descriptor, text.data() + written, text.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    written += static_cast<size_t>(count);
  }
  return written;
}

}  // namespace

std::string RunLogs::Path(const std::string& data_directory, RunId run, int attempt) {
  return absl::StrCat(data_directory, "/logs/", run.value(), "-", attempt, ".log");
}

RunLogs::RunLogs(const std::string& data_directory, Limits limits)
    : data_directory_(data_directory), limits_(limits), thread_([this] { Work(); }) {}

RunLogs::~RunLogs() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void RunLogs::Append(RunId run, int attempt, std::string text) {
  if (text.empty()) return;
  const Key key(run, attempt);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (queued_bytes_ + static_cast<int64_t>(text.size()) > limits_.most_queued_bytes) {
      return Count(key, static_cast<int64_t>(text.size()));
    }
    Job job;
    job.key = key;
    const auto lost = lost_.find(key);
    if (lost != lost_.end()) {
      job.lost_before = lost->second;
      lost_.erase(lost);
    }
    queued_bytes_ += static_cast<int64_t>(text.size());
    job.text = std::move(text);
    queue_.push_back(std::move(job));
  }
  changed_.notify_all();
}

void RunLogs::Lose(RunId run, int attempt, int64_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Count(Key(run, attempt), bytes);
}

void RunLogs::Count(const Key& key, int64_t bytes) {
  if (lost_.size() >= kMostLosses && lost_.count(key) == 0) return;
  lost_[key] += bytes;
}

std::map<RunLogs::Key, int64_t>::iterator RunLogs::Tell(std::map<Key, int64_t>::iterator loss) {
  Job job;
  job.key = loss->first;
  job.lost_before = loss->second;
  queue_.push_back(std::move(job));
  return lost_.erase(loss);
}

void RunLogs::TellLoss(RunId run, int attempt) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto loss = lost_.find(Key(run, attempt));
    if (loss == lost_.end()) return;
    Tell(loss);
  }
  changed_.notify_all();
}

void RunLogs::TellLosses(const std::function<int(RunId)>& attempts_of) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto loss = lost_.begin(); loss != lost_.end();) {
      const auto& [run, attempt] = loss->first;
      loss = attempt <= attempts_of(run) ? Tell(loss) : lost_.erase(loss);
    }
  }
  changed_.notify_all();
}

void RunLogs::Delete(RunId run, int attempts) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (int attempt = 1; attempt <= attempts; ++attempt) {
      Job job;
      job.key = Key(run, attempt);
      job.remove = true;
      queue_.push_back(std::move(job));
      lost_.erase(Key(run, attempt));
    }
  }
  changed_.notify_all();
}

size_t RunLogs::RemoveOrphans(const std::function<int(RunId)>& attempts_of) {
  const std::vector<RunLogFile> orphans = OrphanLogs(data_directory_, attempts_of);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const RunLogFile& file : orphans) {
      Job job;
      job.key = Key(file.run, file.attempt);
      job.remove = true;
      queue_.push_back(std::move(job));
    }
  }
  changed_.notify_all();
  return orphans.size();
}

void RunLogs::Flush() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return queue_.empty() && !working_; });
}

void RunLogs::Work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) {
      if (std::exchange(told_all_, true)) return;
      for (auto loss = lost_.begin(); loss != lost_.end();) loss = Tell(loss);
      continue;
    }
    const Job job = std::move(queue_.front());
    queue_.pop_front();
    queued_bytes_ -= static_cast<int64_t>(job.text.size());
    working_ = true;
    lock.unlock();
    Do(job);
    lock.lock();
    working_ = false;
    changed_.notify_all();
  }
}

void RunLogs::Do(const Job& job) {
  const std::string path = Path(data_directory_, job.key.first, job.key.second);
  if (job.remove) {
    unlink(path.c_str());
    return;
  }
  int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (descriptor < 0 && errno == ENOENT) {
    mkdir((data_directory_ + "/logs").c_str(), 0700);
    descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  }
  const int64_t all = job.lost_before + static_cast<int64_t>(job.text.size());
  struct stat file {};
  if (descriptor < 0 || fstat(descriptor, &file) != 0) {
    Lose(job.key.first, job.key.second, all);
  } else if (file.st_size < limits_.most_file_bytes) {
    std::string text;
    if (job.lost_before > 0) text = absl::StrCat("\n[seedbed: ", job.lost_before, " bytes were dropped here]\n");
    const size_t mark = text.size();
    text += job.text;
    const size_t room = static_cast<size_t>(limits_.most_file_bytes - file.st_size);
    if (text.size() >= room) {
      text.resize(room);
      // The file is then at its bound or beyond, so this is said once.
      absl::StrAppend(&text, "\n[seedbed: the log is full (", limits_.most_file_bytes,
                      " bytes); the rest is dropped]\n");
    }
    const size_t written = WriteAll(descriptor, text);
    if (written < text.size()) {
      // A mark that is cut says nothing: the next one says it.
      const int64_t told = written < mark ? 0 : job.lost_before + static_cast<int64_t>(written - mark);
      Lose(job.key.first, job.key.second, std::max<int64_t>(0, all - told));
    }
  }
  if (descriptor >= 0) close(descriptor);
}

}  // namespace seedbed
