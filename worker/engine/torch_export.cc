#include "worker/engine/torch_export.h"

#include <cstdint>
#include <exception>
#include <iostream>
#include <memory>

#include "ATen/ATen.h"
#include "ATen/core/Dict.h"
#include "ATen/core/ivalue.h"
#include "absl/strings/str_cat.h"
#include "caffe2/serialize/inline_container.h"
#include "common/base/atomic_file.h"
#include "common/base/status_macros.h"
#include "torch/csrc/jit/serialization/pickler.h"

namespace seedbed::engine {

const char kExportUsage[] =
    "  seedbed-engine export CHECKPOINT OUT.pt\n"
    "      write a checkpoint's parameters as a file that Python's torch.load(..., weights_only=True) opens\n";

namespace {

// Not by torch::pickle_save: its dicts carry a type tag, which torch.load refuses with weights_only. The archive is
// that of torch.save: data.pkl with the objects, and one record for each tensor's storage.
absl::Status WriteArchive(const c10::Dict<std::string, at::Tensor>& tensors, AtomicFile* file) {
  std::string pickled;
  torch::jit::Pickler pickler([&](const char* data, size_t size) { pickled.append(data, size); }, nullptr, nullptr,
                              nullptr, nullptr, /*tag_aggregates=*/false);
  pickler.protocol();
  pickler.pushIValue(tensors);
  pickler.stop();

  absl::Status status;  // the writer is not stopped by an error, so that what it throws at its end is not the cause
  caffe2::serialize::PyTorchStreamWriter archive([&](const void* data, size_t size) {
    if (status.ok()) status = file->Write({static_cast<const char*>(data), size});
    return size;
  });
  archive.writeRecord("data.pkl", pickled.data(), pickled.size());
  const std::string byte_order = "little";
  archive.writeRecord("byteorder", byte_order.data(), byte_order.size());
  size_t key = 0;
  for (const at::Tensor& tensor : pickler.tensorData()) {
    archive.writeRecord(absl::StrCat("data/", key++), tensor.data_ptr(), tensor.nbytes());
  }
  archive.writeEndOfFile();
  return status;
}

c10::Dict<std::string, at::Tensor> TensorsByName(const Checkpoint& checkpoint) {
  c10::Dict<std::string, at::Tensor> tensors;
  const std::vector<double>& values = checkpoint.state.slabs.at("parameters");
  auto begin = values.begin();
  for (const SavedTensor& saved : checkpoint.tensors) {
    const at::Tensor wide = at::tensor(std::vector<double>(begin, begin + saved.size), at::kDouble).view(saved.shape);
    const at::ScalarType type = checkpoint.precision == Precision::kFloat64 ? at::kDouble : at::kFloat;
    tensors.insert(saved.name, wide.to(type).clone());
    begin += saved.size;
  }
  return tensors;
}

}  // namespace

absl::Status ExportForPython(const Checkpoint& checkpoint, const std::string& path) {
  SEEDBED_ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file, AtomicFile::Create(path));
  try {
    SEEDBED_RETURN_IF_ERROR(WriteArchive(TensorsByName(checkpoint), file.get()));
  } catch (const std::exception& error) {
    return absl::UnknownError(absl::StrCat("cannot write ", path, ": ", error.what()));
  }
  return file->Commit();
}

int RunExportCommand(const std::vector<std::string>& arguments) {
  if (arguments.size() == 1 && (arguments[0] == "--help" || arguments[0] == "-h")) {
    std::cout << kExportUsage;
    return 0;
  }
  if (arguments.size() != 2) {
    std::cerr << "seedbed-engine export: expected a checkpoint and the file to write\n" << kExportUsage;
    return 2;
  }
  const absl::StatusOr<Checkpoint> checkpoint = ReadCheckpoint(arguments[0]);
  const absl::Status status = checkpoint.ok() ? ExportForPython(*checkpoint, arguments[1]) : checkpoint.status();
  if (status.ok()) return 0;
  std::cerr << "seedbed-engine export: " << status.message() << std::endl;
  return 1;
}

}  // namespace seedbed::engine
