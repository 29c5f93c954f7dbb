#include "worker/engine/checkpoint_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "common/base/sha256.h"
#include "common/base/testing/no_descriptors.h"
#include "gtest/gtest.h"
#include "worker/engine/numerics.h"
#include "worker/engine/test_directory.h"
#include "worker/engine/tiny_run.h"

namespace seedbed::engine {
namespace {

std::string Contents(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

void SetContents(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

Checkpoint Example(Precision precision) {
  Checkpoint checkpoint;
  checkpoint.specification = TinyRun();
  checkpoint.step = 123456789012;
  checkpoint.precision = precision;
  checkpoint.numerics = {{"device", "cpu"}};
  checkpoint.monitor = {{"rules", Json::array()}};
  checkpoint.wall_seconds = 1.5;
  checkpoint.cpu_seconds = 0.1;
  checkpoint.ending_reason = "budget";
  checkpoint.ending_held_since = 7;
  checkpoint.tensors = {{"embedding.weight", {2, 3}, 6}, {"output.bias", {2}, 2}};
  checkpoint.state.updates = checkpoint.step;
  checkpoint.state.slabs["parameters"] = {0, -0.0, 0.1F, 1e30F, -1e-30F, 3, 4, 5};
  checkpoint.state.slabs["momentum"] = std::vector<double>(8, std::numeric_limits<double>::infinity());
  return checkpoint;
}

// What is read of these bytes as a file.
absl::StatusOr<Checkpoint> Read(const std::string& bytes) {
  const std::string path = TestPath("bytes.sbc");
  SetContents(path, bytes);
  return ReadCheckpoint(path);
}

// The bytes of a file with this header and payload whose sum is right.
std::string Whole(const std::string& header, const std::string& payload, uint32_t version = 1) {
  const uint64_t sizes[2] = {header.size(), payload.size()};
  std::string bytes("\x89SBC\r\n\x1a\n", 8);
  bytes.append(reinterpret_cast<const char*>(&version), 4).append(4, '\0');
  bytes.append(reinterpret_cast<const char*>(sizes), sizeof(sizes));
  bytes += header + payload;
  Sha256 hash;
  hash.Update(bytes);
  const Sha256::Sum sum = hash.Finish();
  return bytes.append(reinterpret_cast<const char*>(sum.data()), sum.size());
}

TEST(CheckpointFileTest, ComesBackAsItWas) {
  SetUpTrainingThread();  // denormals count as zero here, and must survive all the same
  for (const Precision precision : {Precision::kFloat32, Precision::kFloat64}) {
    Checkpoint written = Example(precision);
    const bool is_double = precision == Precision::kFloat64;
    uint64_t denormal_bits = 1;
    if (is_double) std::memcpy(&written.state.slabs["parameters"][7], &denormal_bits, sizeof(denormal_bits));
    const std::string path = TestPath("whole.sbc");
    const absl::StatusOr<std::string> sum = WriteCheckpoint(path, written);
    ASSERT_TRUE(sum.ok()) << sum.status();
    EXPECT_EQ(*sum, Sha256Hex(Contents(path)));
    const absl::StatusOr<Checkpoint> read = ReadCheckpoint(path);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->step, written.step);
    EXPECT_EQ(read->precision, precision);
    EXPECT_EQ(read->numerics, written.numerics);
    EXPECT_EQ(read->monitor, written.monitor);
    EXPECT_EQ(read->wall_seconds, 1.5);
    EXPECT_EQ(read->cpu_seconds, 0.1);
    EXPECT_EQ(read->ending_reason, "budget");
    EXPECT_EQ(read->ending_held_since, 7);
    EXPECT_EQ(ToJson(read->specification), ToJson(written.specification));
    ASSERT_EQ(read->tensors.size(), 2u);
    EXPECT_EQ(read->tensors[0].name, "embedding.weight");
    EXPECT_EQ(read->tensors[0].shape, (std::vector<int64_t>{2, 3}));
    EXPECT_EQ(read->state.updates, written.step);
    for (const auto& [name, values] : written.state.slabs) {
      const std::vector<double>& same = read->state.slabs.at(name);
      ASSERT_EQ(same.size(), values.size());
      EXPECT_EQ(std::memcmp(same.data(), values.data(), 8 * sizeof(double)), 0) << name;
    }
  }
}

TEST(CheckpointFileTest, HoldsItsPrecisionAndNoMore) {
  const std::string path = TestPath("size.sbc");
  ASSERT_TRUE(WriteCheckpoint(path, Example(Precision::kFloat32)).ok());
  const size_t single = Contents(path).size();
  ASSERT_TRUE(WriteCheckpoint(path, Example(Precision::kFloat64)).ok());
  EXPECT_EQ(Contents(path).size() - single, 2u * 8u * 4u);
}

// A denormal float, which has no effect on a thread that flushes them, is kept.
TEST(CheckpointFileTest, KeepsDenormalFloats) {
  SetUpTrainingThread();
  Checkpoint written = Example(Precision::kFloat32);
  const double smallest = std::ldexp(1.0, -149);
  written.state.slabs["parameters"][5] = smallest;
  const std::string path = TestPath("denormal.sbc");
  ASSERT_TRUE(WriteCheckpoint(path, written).ok());
  const absl::StatusOr<Checkpoint> read = ReadCheckpoint(path);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->state.slabs.at("parameters")[5], smallest);
}

TEST(CheckpointFileTest, EveryCutAndEveryChangedByteIsSeen) {
  const std::string path = TestPath("victim.sbc");
  ASSERT_TRUE(WriteCheckpoint(path, Example(Precision::kFloat32)).ok());
  const std::string bytes = Contents(path);
  ASSERT_TRUE(Read(bytes).ok());
  for (size_t length = 0; length < bytes.size(); ++length) {
    const absl::StatusOr<Checkpoint> read = Read(bytes.substr(0, length));
    ASSERT_EQ(read.status().code(), absl::StatusCode::kDataLoss) << length;
    ASSERT_EQ(read.status().message().find("checkpoint "), 0u);
    ASSERT_NE(read.status().message().find("earlier checkpoint"), absl::string_view::npos) << read.status();
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const char change : {'\x01', '\x80', '\xff'}) {
      std::string changed = bytes;
      changed[i] = static_cast<char>(changed[i] ^ change);
      ASSERT_FALSE(Read(changed).ok()) << i;
    }
  }
  EXPECT_EQ(Read(bytes + "x").status().code(), absl::StatusCode::kDataLoss);
}

// Headers that somebody wrote on purpose: the sum is right, and still nothing large is allocated and nothing crashes.
TEST(CheckpointFileTest, HostileHeadersAreRefused) {
  const std::string path = TestPath("honest.sbc");
  ASSERT_TRUE(WriteCheckpoint(path, Example(Precision::kFloat32)).ok());
  const std::string honest = Contents(path);
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, honest.data() + 16, sizeof(header_bytes));
  const Json header = Json::parse(honest.substr(32, header_bytes));
  const std::string payload = honest.substr(32 + header_bytes, honest.size() - 64 - header_bytes);
  ASSERT_TRUE(Read(Whole(header.dump(), payload)).ok());

  const auto with = [&](const char* pointer, Json value) {
    Json changed = header;
    changed[Json::json_pointer(pointer)] = std::move(value);
    return changed.dump();
  };
  const int64_t huge = int64_t{1} << 40;
  const Json many(std::vector<int64_t>(8, huge));
  for (const std::string& text : {with("/tensors/0/shape", {huge, huge}),
                                  with("/tensors/0/shape", many),
                                  with("/tensors/0/shape", {huge}),
                                  with("/tensors/0/shape", {0}),
                                  with("/tensors/0/shape", {-6}),
                                  with("/tensors/0/shape", {6.5}),
                                  with("/tensors/0/name", "output.bias"),
                                  with("/tensors", Json::array()),
                                  with("/tensors", "all"),
                                  with("/slabs", Json::array({"parameters"})),
                                  with("/slabs", Json::array({"momentum", "momentum"})),
                                  with("/slabs", Json::array({"a", "b"})),
                                  with("/slabs", 3),
                                  with("/step", -1),
                                  with("/step", 1e300),
                                  with("/step", std::numeric_limits<uint64_t>::max()),
                                  with("/step", "1"),
                                  with("/precision", "float16"),
                                  with("/wall_seconds", "long"),
                                  with("/wall_seconds", -1),
                                  with("/numerics", nullptr),
                                  with("/monitor", 3),
                                  with("/ending", 3),
                                  with("/ending", {{"reason", 4}}),
                                  with("/specification/seed", 6),
                                  with("/specification", nullptr),
                                  std::string("{}"),
                                  std::string("[]"),
                                  std::string("null"),
                                  std::string(),
                                  std::string("{\"specification\": "),
                                  std::string(1 << 20, '['),
                                  "{\"a\": " + std::string(1 << 20, '[') + std::string(1 << 20, ']') + "}"}) {
    const absl::StatusOr<Checkpoint> read = Read(Whole(text, payload));
    EXPECT_EQ(read.status().code(), absl::StatusCode::kDataLoss) << text.substr(0, 300);
  }
  EXPECT_FALSE(Read(Whole(header.dump(), payload + "1234")).ok());
  EXPECT_FALSE(Read(Whole(header.dump(), payload.substr(4))).ok());
  EXPECT_FALSE(Read(Whole(std::string(5 << 20, ' ') + header.dump(), payload)).ok());
}

TEST(CheckpointFileTest, SizesThatAreNotTheFilesAreRefusedBeforeAnythingIsRead) {
  std::string bytes = Whole("{}", "");
  for (const uint64_t size : {~uint64_t{0}, uint64_t{1} << 63, uint64_t{1} << 59}) {
    for (const size_t place : {16, 24}) {
      std::string changed = bytes;
      std::memcpy(changed.data() + place, &size, sizeof(size));
      EXPECT_EQ(Read(changed).status().code(), absl::StatusCode::kDataLoss);
    }
  }
}

TEST(CheckpointFileTest, ANewerVersionIsNamed) {
  const absl::Status status = Read(Whole("whatever it holds", "", 2)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(status.message().find("newer engine (format 2"), absl::string_view::npos) << status;
}

TEST(CheckpointFileTest, WhatIsNoFileIsNamed) {
  EXPECT_EQ(ReadCheckpoint(TestPath("none.sbc")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadCheckpoint(TestDirectory()).status().code(), absl::StatusCode::kDataLoss);
  const std::string pipe = TestPath("pipe.sbc");
  ASSERT_TRUE(mkfifo(pipe.c_str(), 0600) == 0 || errno == EEXIST);
  EXPECT_FALSE(ReadCheckpoint(pipe).ok());  // and does not wait for a writer
  EXPECT_EQ(
      Read("just some text, longer than the shortest file that is looked at more closely, and no checkpoint at all")
          .status()
          .code(),
      absl::StatusCode::kDataLoss);
}

TEST(CheckpointFileTest, AFailedWriteLeavesWhatWasThere) {
  EXPECT_FALSE(WriteCheckpoint("/nowhere/at/all.sbc", Example(Precision::kFloat32)).ok());
  // A directory in the way is not replaced.
  const std::string path = TestPath("in_the_way");
  ASSERT_TRUE(mkdir(path.c_str(), 0700) == 0 || errno == EEXIST);
  const absl::Status status = WriteCheckpoint(path, Example(Precision::kFloat32)).status();
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(status.message().find("cannot write " + path), 0u) << status;
  struct stat about {};
  ASSERT_EQ(stat(path.c_str(), &about), 0);
  EXPECT_TRUE(S_ISDIR(about.st_mode));
}

TEST(CheckpointFileTest, OneThatCannotBeReadForTheMomentIsNotCalledDamaged) {
  const std::string path = TestPath("no_descriptors");
  ASSERT_TRUE(WriteCheckpoint(path, Example(Precision::kFloat32)).ok());
  absl::Status status;
  {
    const NoDescriptors none;
    status = ReadCheckpoint(path).status();
  }
  // The words that a worker goes by (docs/engine-protocol.md).
  EXPECT_EQ(status.message().find("cannot read checkpoint " + path), 0u) << status;
  EXPECT_FALSE(absl::IsDataLoss(status)) << status;
  EXPECT_TRUE(ReadCheckpoint(path).ok());
}

TEST(CheckpointContentsTest, AnotherRunIsNamedByItsFirstDifference) {
  const RunSpecification run = TinyRun();
  RunSpecification other = run;
  EXPECT_TRUE(CheckSameSpecification(run, other).ok());
  other.parameters["optimizer.momentum"] = 0.9;  // which is the default
  EXPECT_TRUE(CheckSameSpecification(run, other).ok());
  other.parameters["optimizer.momentum"] = 0.8;
  const absl::Status status = CheckSameSpecification(run, other);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("parameters.optimizer.momentum is 0.9 there and 0.8 here"), absl::string_view::npos)
      << status;
  other = run;
  other.seed = 6;
  EXPECT_NE(CheckSameSpecification(run, other).message().find("seed is 5 there and 6 here"), absl::string_view::npos);
  other = run;
  other.shared.metrics.evaluate_every = 11;
  EXPECT_NE(CheckSameSpecification(run, other).message().find("metrics.evaluate_every"), absl::string_view::npos);
}

TEST(CheckpointContentsTest, GapsComeAndGo) {
  ModelParameters model;
  model.width = 5;
  model.depth = 1;
  const ModelLayout layout = MlpLayout(model, 3, 3);
  LearnerState state;
  state.updates = 4;
  state.slabs["parameters"] = InitialSlab(layout, 1, 1);
  const LearnerState dense = WithoutGaps(layout, state);
  EXPECT_EQ(dense.slabs.at("parameters").size(), static_cast<size_t>(layout.parameter_count));
  ASSERT_LT(layout.parameter_count, layout.slab_size);
  const absl::StatusOr<LearnerState> spaced = WithGaps(layout, TensorsOf(layout), dense);
  ASSERT_TRUE(spaced.ok());
  EXPECT_EQ(spaced->slabs, state.slabs);
  EXPECT_EQ(spaced->updates, 4);
  std::vector<SavedTensor> others = TensorsOf(layout);
  others[1].name = "another";
  EXPECT_EQ(WithGaps(layout, others, dense).status().code(), absl::StatusCode::kFailedPrecondition);
  others = TensorsOf(layout);
  std::swap(others[0].shape[0], others[0].shape[1]);
  EXPECT_EQ(WithGaps(layout, others, dense).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace seedbed::engine
