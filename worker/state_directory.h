#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/agent/agent.h"
#include "worker/process/unique_fd.h"

namespace seedbed {

// Where one worker keeps its attempts' files: mode 0700, locked (flock on `lock` in it) for as long as this object
// lives.
class StateDirectory final : public agent::AttemptFiles {
 public:
  // `path`, made if missing; attempts that an earlier worker left in it are removed. FAILED_PRECONDITION if another
  // worker has it.
  // `patience`: how long another worker that uses it may take to leave.
  static absl::StatusOr<std::unique_ptr<StateDirectory>> Open(const std::string& path,
                                                              absl::Duration patience = absl::ZeroDuration());

  // PARENT/worker-ID, removed at the end. Those of dead workers beside it are removed now.
  static absl::StatusOr<std::unique_ptr<StateDirectory>> OpenOwn(const std::string& parent, const std::string& id);

  // $XDG_STATE_HOME/seedbed or ~/.local/state/seedbed; without either, a directory of this user below the temporary
  // one.
  static std::string DefaultParent();

  ~StateDirectory() override;

  absl::StatusOr<std::string> Create(RunId run, int attempt) override;
  void Remove(const std::string& directory) override;
  void RemoveFile(const std::string& path) override;

  const std::string& path() const { return path_; }

 private:
  StateDirectory(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}

  const std::string path_;
  UniqueFd lock_;
  bool remove_at_end_ = false;
  int64_t made_ = 0;  // attempts' directories
};

}  // namespace seedbed
