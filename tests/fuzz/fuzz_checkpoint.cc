// A checkpoint's file. The input's first byte says how it is taken:
//   0    as the file's bytes
//   1    header (up to the first NUL) and payload, in a frame whose sizes and sum are right
//   else likewise, and the header's own sum of its specification is made right too, where there is one
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/sha256.h"
#include "tests/fuzz/fuzz.h"
#include "worker/engine/checkpoint_file.h"
#include "worker/engine/numerics.h"

namespace seedbed::engine {

// Stands in for numerics.cc, which needs LibTorch: a machine with little memory, so that no input may ask for more.
int64_t PhysicalMemoryBytes() {
  return 64 << 20;
}

}  // namespace seedbed::engine

namespace seedbed::fuzz {
namespace {

std::string Framed(const std::string& header, const std::string& payload) {
  const uint32_t version = engine::kCheckpointVersion;
  const uint64_t sizes[2] = {header.size(), payload.size()};
  std::string bytes("\x89SBC\r\n\x1a\n", 8);
  bytes.append(reinterpret_cast<const char*>(&version), sizeof(version)).append(4, '\0');
  bytes.append(reinterpret_cast<const char*>(sizes), sizeof(sizes));
  bytes += header + payload;
  Sha256 hash;
  hash.Update(bytes);
  const Sha256::Sum sum = hash.Finish();
  return bytes.append(reinterpret_cast<const char*>(sum.data()), sum.size());
}

std::string WithRightSum(const std::string& header) {
  absl::StatusOr<Json> json = ParseJson(header, "the header");
  if (!json.ok() || !json->is_object() || !json->contains("specification")) return header;
  (*json)["specification_sha256"] = Sha256Hex(CanonicalJson((*json)["specification"]));
  return CanonicalJson(*json);
}

std::string FileOf(const std::string& input) {
  if (input.empty()) return "";
  // So that a corpus can be read: the digits count as the numbers.
  const char how = input[0] >= '0' && input[0] <= '9' ? static_cast<char>(input[0] - '0') : input[0];
  const std::string rest = input.substr(1);
  if (how == 0) return rest;
  const size_t end = std::min(rest.find('\0'), rest.size());
  const std::string header = rest.substr(0, end);
  const std::string payload = end < rest.size() ? rest.substr(end + 1) : "";
  return Framed(how == 1 ? header : WithRightSum(header), payload);
}

void CheckRead(const engine::Checkpoint& checkpoint) {
  int64_t elements = 0;
  for (const engine::SavedTensor& tensor : checkpoint.tensors) {
    int64_t size = 1;
    for (const int64_t extent : tensor.shape) size *= extent;
    Require(size == tensor.size, "a tensor's size is that of its shape");
    elements += size;
  }
  Require(checkpoint.state.slabs.count("parameters") == 1, "there are parameters");
  for (const auto& [name, values] : checkpoint.state.slabs) {
    Require(static_cast<int64_t>(values.size()) == elements, "each slab holds all tensors");
  }
  Require(checkpoint.step >= 0 && checkpoint.wall_seconds >= 0, "counts are no less than zero");
}

}  // namespace
}  // namespace seedbed::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace seedbed;  // NOLINT: the entry point has to be global
  const std::string bytes = fuzz::FileOf(std::string(reinterpret_cast<const char*>(data), size));
  const int file = memfd_create("checkpoint", MFD_CLOEXEC);
  fuzz::Require(file >= 0 && write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()),
                "a file in memory");
  const absl::StatusOr<engine::Checkpoint> read = engine::ReadCheckpoint(absl::StrCat("/proc/self/fd/", file));
  close(file);
  if (read.ok()) {
    fuzz::CheckRead(*read);
  } else {
    fuzz::Require(absl::IsDataLoss(read.status()) || absl::IsUnimplemented(read.status()),
                  "what cannot be read is damaged or newer: " + read.status().ToString());
  }
  return 0;
}
