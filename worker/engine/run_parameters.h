#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/json.h"

// The parameters of trainer `modular` as typed values. Their names, ranges, defaults and meaning are data in
// common/schema.
namespace seedbed::engine {

struct TaskParameters {
  std::string operation = "add";
  int64_t modulus = 97;
  double train_fraction = 0.2;  // in (0, 1)
  int64_t split_seed = 0;
  bool unordered = false;
};

enum class Activation { kRelu, kGelu, kTanh };

struct ModelParameters {
  std::string kind = "mlp";
  int64_t depth = 2;  // hidden layers, at least 1
  int64_t width = 256;
  Activation activation = Activation::kGelu;
  double init_scale = 1;
};

enum class OptimizerKind { kSgd, kAdamw };

struct OptimizerParameters {
  OptimizerKind kind = OptimizerKind::kSgd;
  double learning_rate = 1e-2;
  double weight_decay = 2e-3;
  double momentum = 0.9;                              // kSgd
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  // kAdamw
};

enum class Precision { kFloat32, kFloat64 };

struct RunParameters {
  TaskParameters task;
  ModelParameters model;
  OptimizerParameters optimizer;
  Precision precision = Precision::kFloat32;
  bool reference = false;  // implementation: reference
};

// Checks `given` (a flat object of dotted names) against the trainer's schema, fills in defaults and returns the typed
// values. INVALID_ARGUMENT as ResolveParameters has it.
absl::StatusOr<RunParameters> ReadRunParameters(const Json& given);

}  // namespace seedbed::engine
