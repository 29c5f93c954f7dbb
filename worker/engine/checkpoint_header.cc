#include "worker/engine/checkpoint_header.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"

namespace seedbed::engine {
namespace {

constexpr size_t kMostTensors = 1 << 16;
constexpr size_t kMostSlabs = 16;
constexpr uint64_t kMostElements = uint64_t{1} << 40;

absl::Status Wrong(const std::string& key, const std::string& expected) {
  return absl::InvalidArgumentError(absl::StrCat("its header is wrong at '", key, "': expected ", expected));
}

absl::StatusOr<const Json*> At(const Json& object, const char* key, Json::value_t type) {
  const auto found = object.find(key);
  if (found == object.end()) return Wrong(key, "it to be there");
  const bool is_count = type == Json::value_t::number_unsigned && found->is_number_unsigned();
  const bool is_number = type == Json::value_t::number_float && found->is_number();
  if (!is_count && !is_number && found->type() != type) return Wrong(key, "a value of another type");
  return &*found;
}

absl::StatusOr<int64_t> CountAt(const Json& object, const char* key) {
  SEEDBED_ASSIGN_OR_RETURN(const Json* const json, At(object, key, Json::value_t::number_unsigned));
  const auto count = json->get<uint64_t>();
  if (count > uint64_t{1} << 62) return Wrong(key, "a smaller number");
  return static_cast<int64_t>(count);
}

absl::StatusOr<double> SecondsAt(const Json& object, const char* key) {
  SEEDBED_ASSIGN_OR_RETURN(const Json* const json, At(object, key, Json::value_t::number_float));
  const auto seconds = json->get<double>();
  if (!(seconds >= 0) || seconds > 1e15) return Wrong(key, "seconds");
  return seconds;
}

absl::StatusOr<std::string> TextAt(const Json& object, const char* key) {
  SEEDBED_ASSIGN_OR_RETURN(const Json* const json, At(object, key, Json::value_t::string));
  return json->get<std::string>();
}

absl::Status ReadSpecification(const Json& header, Checkpoint* checkpoint) {
  SEEDBED_ASSIGN_OR_RETURN(const Json* const json, At(header, "specification", Json::value_t::object));
  SEEDBED_ASSIGN_OR_RETURN(const std::string sum, TextAt(header, "specification_sha256"));
  if (Sha256Hex(CanonicalJson(*json)) != sum) return Wrong("specification_sha256", "the specification's");
  SEEDBED_ASSIGN_OR_RETURN(checkpoint->specification, RunSpecificationFromJson(*json));
  return absl::OkStatus();
}

absl::Status ReadEnding(const Json& header, Checkpoint* checkpoint) {
  const auto ending = header.find("ending");
  if (ending == header.end()) return Wrong("ending", "it to be there");
  if (ending->is_null()) return absl::OkStatus();
  if (!ending->is_object()) return Wrong("ending", "an object or null");
  SEEDBED_ASSIGN_OR_RETURN(checkpoint->ending_reason, TextAt(*ending, "reason"));
  const auto held_since = ending->find("held_since");
  if (held_since == ending->end() || held_since->is_null()) return absl::OkStatus();
  SEEDBED_ASSIGN_OR_RETURN(checkpoint->ending_held_since, CountAt(*ending, "held_since"));
  return absl::OkStatus();
}

absl::StatusOr<SavedTensor> ReadTensor(const Json& json) {
  if (!json.is_object()) return Wrong("tensors", "objects");
  SavedTensor tensor;
  SEEDBED_ASSIGN_OR_RETURN(tensor.name, TextAt(json, "name"));
  SEEDBED_ASSIGN_OR_RETURN(const Json* const shape, At(json, "shape", Json::value_t::array));
  if (shape->size() > 8) return Wrong("tensors.shape", "at most 8 extents");
  uint64_t size = 1;
  for (const Json& extent : *shape) {
    const uint64_t count = extent.is_number_unsigned() ? extent.get<uint64_t>() : 0;
    if (count == 0 || count > kMostElements / size) return Wrong("tensors.shape", "extents of at least 1, and fewer");
    tensor.shape.push_back(static_cast<int64_t>(count));
    size *= count;
  }
  tensor.size = static_cast<int64_t>(size);
  return tensor;
}

absl::Status ReadTable(const Json& header, ReadHeader* read) {
  SEEDBED_ASSIGN_OR_RETURN(const Json* const tensors, At(header, "tensors", Json::value_t::array));
  if (tensors->empty() || tensors->size() > kMostTensors) return Wrong("tensors", "another number of them");
  std::set<std::string> names;
  for (const Json& json : *tensors) {
    SEEDBED_ASSIGN_OR_RETURN(SavedTensor tensor, ReadTensor(json));
    if (!names.insert(tensor.name).second) return Wrong("tensors", "each name once");
    read->elements += static_cast<uint64_t>(tensor.size);
    if (read->elements > kMostElements) return Wrong("tensors", "fewer elements");
    read->checkpoint.tensors.push_back(std::move(tensor));
  }
  SEEDBED_ASSIGN_OR_RETURN(const Json* const slabs, At(header, "slabs", Json::value_t::array));
  if (slabs->empty() || slabs->size() > kMostSlabs) return Wrong("slabs", "another number of them");
  for (const Json& json : *slabs) {
    if (!json.is_string()) return Wrong("slabs", "names");
    read->slabs.push_back(json.get<std::string>());
    if (!read->checkpoint.state.slabs.try_emplace(read->slabs.back()).second) return Wrong("slabs", "each name once");
  }
  if (read->checkpoint.state.slabs.count("parameters") == 0) return Wrong("slabs", "'parameters' among them");
  return absl::OkStatus();
}

}  // namespace

std::string CheckpointHeader(const Checkpoint& checkpoint) {
  const Json specification = ToJson(checkpoint.specification);
  Json ending = nullptr;
  if (checkpoint.ending_reason) {
    ending = {{"reason", *checkpoint.ending_reason},
              {"held_since", checkpoint.ending_held_since ? Json(*checkpoint.ending_held_since) : Json(nullptr)}};
  }
  Json tensors = Json::array();
  for (const SavedTensor& tensor : checkpoint.tensors)
    tensors.push_back({{"name", tensor.name}, {"shape", tensor.shape}});
  Json slabs = Json::array();
  for (const auto& [name, values] : checkpoint.state.slabs) slabs.push_back(name);
  return CanonicalJson({{"specification", specification},
                        {"specification_sha256", Sha256Hex(CanonicalJson(specification))},
                        {"step", checkpoint.step},
                        {"precision", checkpoint.precision == Precision::kFloat64 ? "float64" : "float32"},
                        {"numerics", checkpoint.numerics},
                        {"monitor", checkpoint.monitor},
                        {"wall_seconds", checkpoint.wall_seconds},
                        {"cpu_seconds", checkpoint.cpu_seconds},
                        {"ending", std::move(ending)},
                        {"tensors", std::move(tensors)},
                        {"slabs", std::move(slabs)}});
}

absl::StatusOr<ReadHeader> ParseCheckpointHeader(const std::string& text) {
  SEEDBED_ASSIGN_OR_RETURN(const Json header, ParseJson(text, "its header"));
  if (!header.is_object()) return absl::InvalidArgumentError("its header is no object");
  ReadHeader read;
  Checkpoint& checkpoint = read.checkpoint;
  SEEDBED_RETURN_IF_ERROR(ReadSpecification(header, &checkpoint));
  SEEDBED_ASSIGN_OR_RETURN(checkpoint.step, CountAt(header, "step"));
  checkpoint.state.updates = checkpoint.step;
  SEEDBED_ASSIGN_OR_RETURN(const std::string precision, TextAt(header, "precision"));
  if (precision != "float32" && precision != "float64") return Wrong("precision", "float32 or float64");
  checkpoint.precision = precision == "float64" ? Precision::kFloat64 : Precision::kFloat32;
  read.element_bytes = precision == "float64" ? 8 : 4;
  SEEDBED_ASSIGN_OR_RETURN(const Json* const numerics, At(header, "numerics", Json::value_t::object));
  checkpoint.numerics = *numerics;
  SEEDBED_ASSIGN_OR_RETURN(const Json* const monitor, At(header, "monitor", Json::value_t::object));
  checkpoint.monitor = *monitor;
  SEEDBED_ASSIGN_OR_RETURN(checkpoint.wall_seconds, SecondsAt(header, "wall_seconds"));
  SEEDBED_ASSIGN_OR_RETURN(checkpoint.cpu_seconds, SecondsAt(header, "cpu_seconds"));
  SEEDBED_RETURN_IF_ERROR(ReadEnding(header, &checkpoint));
  SEEDBED_RETURN_IF_ERROR(ReadTable(header, &read));
  return read;
}

}  // namespace seedbed::engine
