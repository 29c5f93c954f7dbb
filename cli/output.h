#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"

namespace seedbed::cli {

// Where a command writes. Buffered; not thread-safe. A reader that went away (`| head`) is not an error: `closed` turns
// true and everything written afterwards is dropped, so that commands can end quietly.
class Output {
 public:
  virtual ~Output() = default;
  void Write(std::string_view text);
  void Flush();
  bool closed() const { return closed_; }
  // The first error of writing other than a closed pipe, e.g. a full disk.
  const absl::Status& status() const { return status_; }

 protected:
  // kOk, kCancelled where nobody reads any more, or another code with `error` set.
  virtual absl::StatusCode Send(std::string_view text, std::string* error) = 0;

 private:
  std::string buffer_;
  bool closed_ = false;
  absl::Status status_;
};

// Writes to a file descriptor that stays the caller's. SIGPIPE must be ignored.
class DescriptorOutput final : public Output {
 public:
  explicit DescriptorOutput(int descriptor) : descriptor_(descriptor) {}
  ~DescriptorOutput() override { Flush(); }

 private:
  absl::StatusCode Send(std::string_view text, std::string* error) override;
  int descriptor_;
};

// Keeps everything, for tests.
class StringOutput final : public Output {
 public:
  std::string Take() {
    Flush();
    return std::move(text_);
  }

 private:
  absl::StatusCode Send(std::string_view text, std::string*) override {
    text_.append(text);
    return absl::StatusCode::kOk;
  }
  std::string text_;
};

// ALREADY_EXISTS if there is a file of this name: commands write over one only with --force.
absl::Status CheckThatNothingIsAt(const std::string& path);

}  // namespace seedbed::cli
