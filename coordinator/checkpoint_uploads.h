#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <set>

#include "common/base/ids.h"

namespace seedbed {

// The uploads of checkpoints that are under way: what they will take of the disk and of the quota, and have not yet.
// Thread-safe; outlives its uploads.
class CheckpointUploads {
 public:
  // One of them. It counts until it is destroyed. Not thread-safe.
  class Upload {
   public:
    ~Upload();
    Upload(const Upload&) = delete;
    Upload& operator=(const Upload&) = delete;
    // So many bytes more are on the disk now, which says so itself.
    void Wrote(int64_t bytes);

   private:
    friend class CheckpointUploads;
    Upload(CheckpointUploads* uploads, RunId run, int64_t awaited, int64_t quota)
        : uploads_(uploads), run_(run), awaited_(awaited), quota_(quota) {}
    CheckpointUploads* const uploads_;
    const RunId run_;
    int64_t awaited_;
    const int64_t quota_;
  };

  // `frees`: bytes of the checkpoint that goes when this one is committed. Only one of a run's uploads has that room.
  std::unique_ptr<Upload> Begin(RunId run, int64_t size, int64_t frees);
  // What such an upload would add to quota_bytes.
  int64_t QuotaBytesOf(RunId run, int64_t size, int64_t frees) const;
  int64_t awaited_bytes() const;  // announced, and not yet on the disk
  int64_t quota_bytes() const;    // announced, less what goes in turn

 private:
  int64_t QuotaBytes(RunId run, int64_t size, int64_t frees) const;  // mutex_ is held

  mutable std::mutex mutex_;
  std::multiset<RunId> runs_;  // guarded by mutex_, as all below
  int64_t awaited_bytes_ = 0;
  int64_t quota_bytes_ = 0;
};

}  // namespace seedbed
