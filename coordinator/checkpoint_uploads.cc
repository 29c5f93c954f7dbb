#include "coordinator/checkpoint_uploads.h"

#include <algorithm>

namespace seedbed {

CheckpointUploads::Upload::~Upload() {
  const std::lock_guard<std::mutex> lock(uploads_->mutex_);
  uploads_->awaited_bytes_ -= awaited_;
  uploads_->quota_bytes_ -= quota_;
  uploads_->runs_.erase(uploads_->runs_.find(run_));
}

void CheckpointUploads::Upload::Wrote(int64_t bytes) {
  const std::lock_guard<std::mutex> lock(uploads_->mutex_);
  const int64_t less = std::min(bytes, awaited_);
  awaited_ -= less;
  uploads_->awaited_bytes_ -= less;
}

std::unique_ptr<CheckpointUploads::Upload> CheckpointUploads::Begin(RunId run, int64_t size, int64_t frees) {
  const std::lock_guard<std::mutex> lock(mutex_);
  // Not below 0: until the commit the other's file is there.
  const int64_t quota = std::max<int64_t>(0, QuotaBytes(run, size, frees));
  runs_.insert(run);
  awaited_bytes_ += size;
  quota_bytes_ += quota;
  return std::unique_ptr<Upload>(new Upload(this, run, size, quota));
}

int64_t CheckpointUploads::QuotaBytesOf(RunId run, int64_t size, int64_t frees) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return QuotaBytes(run, size, frees);
}

int64_t CheckpointUploads::QuotaBytes(RunId run, int64_t size, int64_t frees) const {
  return runs_.count(run) > 0 ? size : size - frees;
}

int64_t CheckpointUploads::awaited_bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return awaited_bytes_;
}

int64_t CheckpointUploads::quota_bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return quota_bytes_;
}

}  // namespace seedbed
