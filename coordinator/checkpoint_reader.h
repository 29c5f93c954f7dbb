#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/sha256.h"
#include "coordinator/storage/reader.h"

namespace seedbed {

// The bytes of a stored checkpoint. DATA_LOSS is said of what is known to be lost only (the file is not there, or is
// not what its row says), since a worker that hears it has the row and the file dropped; whatever else keeps the file
// from being read (no descriptors, no memory, a mount that is away) is UNAVAILABLE. Not thread-safe.
class CheckpointReader {
 public:
  // `row` with its whole path. Finds a file that is missing or has another size.
  static absl::StatusOr<std::unique_ptr<CheckpointReader>> Open(const CheckpointRow& row);
  ~CheckpointReader();
  CheckpointReader(const CheckpointReader&) = delete;
  CheckpointReader& operator=(const CheckpointReader&) = delete;

  // The next bytes, `most` at a time; empty behind the last, if they were what the row says.
  absl::StatusOr<std::string> Next(int64_t most);

 private:
  explicit CheckpointReader(CheckpointRow row) : row_(std::move(row)) {}
  absl::Status Lost(const std::string& how) const;
  absl::Status Unreadable(int error) const;

  const CheckpointRow row_;
  int descriptor_ = -1;
  int64_t taken_ = 0;
  Sha256 sum_;
};

}  // namespace seedbed
