#include "worker/engine/torch_export.h"

#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "ATen/ATen.h"
#include "caffe2/serialize/inline_container.h"
#include "gtest/gtest.h"
#include "torch/csrc/jit/serialization/pickle.h"
#include "worker/engine/test_directory.h"
#include "worker/engine/tiny_run.h"

namespace seedbed::engine {
namespace {

Checkpoint Example(Precision precision) {
  Checkpoint checkpoint;
  checkpoint.specification = TinyRun();
  checkpoint.step = 3;
  checkpoint.precision = precision;
  checkpoint.numerics = Json::object();
  checkpoint.monitor = Json::object();
  checkpoint.tensors = {{"embedding.weight", {2, 3}, 6}, {"output.bias", {2}, 2}};
  checkpoint.state.slabs["parameters"] = {0.5, -1.25, 2, 3, 4, 5, 6, 7};
  checkpoint.state.slabs["momentum"] = std::vector<double>(8, 9);
  return checkpoint;
}

TEST(TorchExportTest, HoldsTheParametersByNameAndNothingElse) {
  for (const Precision precision : {Precision::kFloat32, Precision::kFloat64}) {
    const std::string path = TestPath("weights.pt");
    const Checkpoint checkpoint = Example(precision);
    ASSERT_TRUE(ExportForPython(checkpoint, path).ok());
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    const auto tensors = torch::jit::pickle_load(bytes).toGenericDict();
    ASSERT_EQ(tensors.size(), 2u);
    const at::ScalarType type = precision == Precision::kFloat64 ? at::kDouble : at::kFloat;
    size_t next = 0;
    for (const SavedTensor& saved : checkpoint.tensors) {
      const at::Tensor tensor = tensors.at(saved.name).toTensor();
      EXPECT_EQ(tensor.scalar_type(), type);
      EXPECT_EQ(tensor.sizes().vec(), saved.shape);
      EXPECT_EQ(tensor.storage().nbytes(), tensor.nbytes()) << "each tensor owns its own bytes and no more";
      for (int64_t i = 0; i < saved.size; ++i) {
        EXPECT_EQ(tensor.reshape({-1})[i].item<double>(), checkpoint.state.slabs.at("parameters")[next++]);
      }
    }
  }
}

// torch.load(weights_only=True) knows a short list of functions; a type tag is not on it.
TEST(TorchExportTest, NamesOnlyWhatTorchLoadKnows) {
  const std::string path = TestPath("names.pt");
  ASSERT_TRUE(ExportForPython(Example(Precision::kFloat32), path).ok());
  caffe2::serialize::PyTorchStreamReader reader(path);
  const std::vector<std::string> records = reader.getAllRecords();
  const std::set<std::string> names(records.begin(), records.end());
  for (const char* name : {"data.pkl", "data/0", "data/1", "version"}) EXPECT_EQ(names.count(name), 1u) << name;
  EXPECT_EQ(std::get<1>(reader.getRecord("data/0")), 6u * sizeof(float));
  EXPECT_EQ(std::get<1>(reader.getRecord("data/1")), 2u * sizeof(float));

  auto [data, size] = reader.getRecord("data.pkl");
  const std::string pickle(static_cast<const char*>(data.get()), size);
  std::set<std::string> globals;
  for (size_t at = pickle.find('c'); at != std::string::npos; at = pickle.find('c', at + 1)) {
    // The opcode of a global: 'c', its module, a line end, its name, a line end.
    const size_t middle = pickle.find('\n', at);
    const size_t end = middle == std::string::npos ? middle : pickle.find('\n', middle + 1);
    if (end == std::string::npos) break;
    const std::string module = pickle.substr(at + 1, middle - at - 1);
    if (module.rfind("torch", 0) == 0 || module.rfind("collections", 0) == 0) {
      globals.insert(module + "." + pickle.substr(middle + 1, end - middle - 1));
    }
  }
  EXPECT_EQ(globals, (std::set<std::string>{"collections.OrderedDict", "torch.FloatStorage",
                                            "torch._utils._rebuild_tensor_v2"}));
}

TEST(TorchExportTest, FailsWithThePathAndLeavesNothing) {
  const absl::Status status = ExportForPython(Example(Precision::kFloat32), "/nowhere/at/all.pt");
  EXPECT_NE(status.message().find("/nowhere/at/all.pt"), absl::string_view::npos) << status;
  testing::internal::CaptureStderr();
  EXPECT_EQ(RunExportCommand({TestPath("no_such_checkpoint"), TestPath("out.pt")}), 1);
  EXPECT_EQ(RunExportCommand({"one"}), 2);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("no_such_checkpoint"), std::string::npos);
  EXPECT_FALSE(std::ifstream(TestPath("out.pt")).good());
}

}  // namespace
}  // namespace seedbed::engine
