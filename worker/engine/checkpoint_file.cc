#include "worker/engine/checkpoint_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cfenv>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/atomic_file.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"
#include "worker/engine/checkpoint_header.h"
#include "worker/engine/numerics.h"

namespace seedbed::engine {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "checkpoints are little-endian, and copied as they lie");

// The first byte is not ASCII and the line ends catch a transfer as text, as PNG's do.
constexpr std::array<char, 8> kMagic = {'\x89', 'S', 'B', 'C', '\r', '\n', '\x1a', '\n'};
constexpr size_t kPieceBytes = 1 << 20;
constexpr const char* kUseAnother = "; resume from an earlier checkpoint, or start the run anew";

struct Preamble {
  std::array<char, 8> magic = kMagic;
  uint32_t version = kCheckpointVersion;
  uint32_t reserved = 0;
  uint64_t header_bytes = 0;
  uint64_t payload_bytes = 0;
};
static_assert(sizeof(Preamble) == 32, "without gaps");

std::string_view BytesOf(const void* data, size_t size) {
  return {static_cast<const char*>(data), size};
}

// Training threads count denormals as zero; values are converted without that, so that none is lost.
class IeeeArithmetic {
 public:
  IeeeArithmetic() {
    std::fegetenv(&before_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~IeeeArithmetic() { std::fesetenv(&before_); }
  IeeeArithmetic(const IeeeArithmetic&) = delete;
  IeeeArithmetic& operator=(const IeeeArithmetic&) = delete;

 private:
  std::fenv_t before_;
};

// A file that is open; closed with it.
class OpenFile {
 public:
  explicit OpenFile(int fd) : fd_(fd) {}
  ~OpenFile() {
    if (fd_ >= 0) close(fd_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// Writes to a file and sums what it writes.
class Output {
 public:
  explicit Output(AtomicFile* file) : file_(file) {}

  absl::Status Write(std::string_view bytes) {
    hash_.Update(bytes);
    return file_->Write(bytes);
  }
  template <typename T>
  absl::Status WriteValues(const std::vector<double>& values) {
    std::vector<T> piece(std::min(values.size(), kPieceBytes / sizeof(T)));
    for (size_t begin = 0; begin < values.size(); begin += piece.size()) {
      const size_t count = std::min(piece.size(), values.size() - begin);
      for (size_t i = 0; i < count; ++i) piece[i] = static_cast<T>(values[begin + i]);
      SEEDBED_RETURN_IF_ERROR(Write(BytesOf(piece.data(), count * sizeof(T))));
    }
    return absl::OkStatus();
  }
  Sha256::Sum Sum() const { return hash_.Finish(); }

 private:
  AtomicFile* const file_;
  Sha256 hash_;
};

absl::StatusOr<std::string> WriteAll(AtomicFile* file, const Checkpoint& checkpoint) {
  const IeeeArithmetic ieee;
  const std::string header = CheckpointHeader(checkpoint);
  const bool is_double = checkpoint.precision == Precision::kFloat64;
  Preamble preamble;
  preamble.header_bytes = header.size();
  for (const auto& [name, values] : checkpoint.state.slabs) {
    preamble.payload_bytes += values.size() * (is_double ? sizeof(double) : sizeof(float));
  }
  Output output(file);
  SEEDBED_RETURN_IF_ERROR(output.Write(BytesOf(&preamble, sizeof(preamble))));
  SEEDBED_RETURN_IF_ERROR(output.Write(header));
  for (const auto& [name, values] : checkpoint.state.slabs) {
    SEEDBED_RETURN_IF_ERROR(is_double ? output.WriteValues<double>(values) : output.WriteValues<float>(values));
  }
  const Sha256::Sum sum = output.Sum();
  SEEDBED_RETURN_IF_ERROR(output.Write(BytesOf(sum.data(), sum.size())));
  return HexOf(output.Sum());
}

absl::Status Damaged(const std::string& path, const std::string& how) {
  return absl::DataLossError(absl::StrCat("checkpoint ", path, " ", how, kUseAnother));
}

// Of which nothing follows for the checkpoint: by these words a worker tells it from one that is damaged.
absl::Status Unreadable(const std::string& path, int error) {
  return absl::ErrnoToStatus(error, absl::StrCat("cannot read checkpoint ", path));
}

// A checkpoint that is being read.
class Input {
 public:
  Input(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

  absl::Status Read(uint64_t offset, size_t size, char* into) const {
    while (size > 0) {
      const ssize_t count = pread(fd_, into, size, static_cast<off_t>(offset));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return Unreadable(path_, errno);
      if (count == 0) return Damaged(path_, "became shorter while it was read");
      into += count;
      offset += static_cast<uint64_t>(count);
      size -= static_cast<size_t>(count);
    }
    return absl::OkStatus();
  }

  // Of bytes 0 … end - 1.
  absl::StatusOr<Sha256::Sum> SumUpTo(uint64_t end) const {
    Sha256 hash;
    std::vector<char> piece(std::min<uint64_t>(end, kPieceBytes));
    for (uint64_t begin = 0; begin < end; begin += piece.size()) {
      const size_t count = std::min<uint64_t>(piece.size(), end - begin);
      SEEDBED_RETURN_IF_ERROR(Read(begin, count, piece.data()));
      hash.Update(BytesOf(piece.data(), count));
    }
    return hash.Finish();
  }

  template <typename T>
  absl::StatusOr<std::vector<double>> Values(uint64_t offset, size_t count) const {
    const IeeeArithmetic ieee;
    std::vector<double> values(count);
    std::vector<T> piece(std::min(count, kPieceBytes / sizeof(T)));
    for (size_t begin = 0; begin < count; begin += piece.size()) {
      const size_t taken = std::min(piece.size(), count - begin);
      SEEDBED_RETURN_IF_ERROR(
          Read(offset + begin * sizeof(T), taken * sizeof(T), reinterpret_cast<char*>(piece.data())));
      for (size_t i = 0; i < taken; ++i) values[begin + i] = static_cast<double>(piece[i]);
    }
    return values;
  }

 private:
  const int fd_;
  const std::string path_;
};

// The preamble, once the sizes in it are those of the file and the sum at its end is that of the rest.
absl::StatusOr<Preamble> ReadPreamble(const Input& input, const std::string& path, uint64_t size) {
  constexpr uint64_t kRest = sizeof(Preamble) + sizeof(Sha256::Sum);
  if (size < kRest) return Damaged(path, absl::StrCat("is cut short: it has ", size, " bytes"));
  Preamble preamble;
  SEEDBED_RETURN_IF_ERROR(input.Read(0, sizeof(preamble), reinterpret_cast<char*>(&preamble)));
  if (preamble.magic != kMagic) return Damaged(path, "is no checkpoint of this engine");
  if (preamble.version > kCheckpointVersion) {
    return absl::UnimplementedError(absl::StrCat("checkpoint ", path, " was written by a newer engine (format ",
                                                 preamble.version, "; this one reads up to ", kCheckpointVersion,
                                                 "): resume with that one, or start the run anew"));
  }
  if (preamble.version == 0 || preamble.reserved != 0 || preamble.header_bytes > kLongestCheckpointHeader ||
      preamble.payload_bytes > uint64_t{1} << 60) {
    return Damaged(path, "is damaged in its first 32 bytes");
  }
  const uint64_t expected = kRest + preamble.header_bytes + preamble.payload_bytes;
  if (size < expected) return Damaged(path, absl::StrCat("is cut short: it has ", size, " of ", expected, " bytes"));
  if (size > expected) return Damaged(path, absl::StrCat("is damaged: it has ", size, " bytes instead of ", expected));
  Sha256::Sum saved;
  SEEDBED_RETURN_IF_ERROR(input.Read(size - saved.size(), saved.size(), reinterpret_cast<char*>(saved.data())));
  SEEDBED_ASSIGN_OR_RETURN(const Sha256::Sum sum, input.SumUpTo(size - saved.size()));
  if (sum != saved) return Damaged(path, "is damaged: its SHA-256 is another");
  return preamble;
}

}  // namespace

absl::StatusOr<std::string> WriteCheckpoint(const std::string& path, const Checkpoint& checkpoint) {
  SEEDBED_ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file, AtomicFile::Create(path));
  SEEDBED_ASSIGN_OR_RETURN(std::string sum, WriteAll(file.get(), checkpoint));
  SEEDBED_RETURN_IF_ERROR(file->Commit());
  return sum;
}

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path) {
  const OpenFile file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return Unreadable(path, errno);
  struct stat about {};
  if (fstat(file.get(), &about) != 0) return Unreadable(path, errno);
  if (!S_ISREG(about.st_mode)) return Damaged(path, "is no file");
  if (about.st_size > PhysicalMemoryBytes()) {
    return Damaged(path, absl::StrCat("has ", about.st_size, " bytes, more than this machine's memory"));
  }
  const Input input(file.get(), path);
  SEEDBED_ASSIGN_OR_RETURN(const Preamble preamble, ReadPreamble(input, path, static_cast<uint64_t>(about.st_size)));
  std::string text(preamble.header_bytes, '\0');
  SEEDBED_RETURN_IF_ERROR(input.Read(sizeof(Preamble), text.size(), text.data()));
  absl::StatusOr<ReadHeader> header = ParseCheckpointHeader(text);
  if (!header.ok()) return Damaged(path, absl::StrCat("cannot be used: ", header.status().message()));
  const uint64_t slab_bytes = header->elements * header->element_bytes;
  if (slab_bytes * header->slabs.size() != preamble.payload_bytes) {
    return Damaged(path, "cannot be used: its values are not as many as its header says");
  }
  uint64_t offset = sizeof(Preamble) + preamble.header_bytes;
  for (const std::string& slab : header->slabs) {
    const bool is_double = header->checkpoint.precision == Precision::kFloat64;
    SEEDBED_ASSIGN_OR_RETURN(header->checkpoint.state.slabs[slab], is_double
                                                                       ? input.Values<double>(offset, header->elements)
                                                                       : input.Values<float>(offset, header->elements));
    offset += slab_bytes;
  }
  return std::move(header->checkpoint);
}

}  // namespace seedbed::engine
