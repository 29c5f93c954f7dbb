#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/json.h"

// The parameters of trainer `modular` as typed values. Fields are named like their keys; names, ranges, defaults and
// meaning are data in common/schema. Where a parameter does not apply its field has the value written here.
namespace seedbed::engine {

struct TaskParameters {
  std::string operation = "add";  // a name in common/schema/modular_operations.h
  int64_t modulus = 97;           // has no meaning for operations on permutations
  double train_fraction = 0.2;    // in (0, 1)
  int64_t split_seed = 0;
  bool unordered = false;  // pairs: unordered
  double label_noise = 0;  // share of the training labels, in [0, 1)
};

enum class Activation { kRelu, kGelu, kTanh, kQuadratic };
enum class NormPlace { kPre, kPost };
enum class Readout { kMean, kLast };

struct ModelParameters {
  std::string kind = "mlp";  // "mlp", "residual_mlp" or "transformer"
  int64_t depth = 2;         // hidden layers, blocks or encoder layers, at least 1
  int64_t width = 256;
  Activation activation = Activation::kGelu;
  double init_scale = 1;
  int64_t inner_width = 256;    // residual_mlp; never 0: the default is filled in with width
  bool layer_norm = true;       // residual_mlp, transformer
  bool final_norm = false;      // residual_mlp, transformer
  int64_t heads = 4;            // this and the rest: transformer
  int64_t feed_forward = 1024;  // never 0: the default is filled in with 4 · width
  bool equals_token = false;
  bool causal = false;
  NormPlace norm = NormPlace::kPre;  // with layer_norm only
  Readout readout = Readout::kMean;
  double position_scale = 0.02;
};

enum class Loss { kCrossEntropy, kMse };
enum class OptimizerKind { kSgd, kAdam, kAdamw, kMuon };
enum class Schedule { kConstant, kWarmup, kCosine };

struct OptimizerParameters {
  OptimizerKind kind = OptimizerKind::kSgd;
  double learning_rate = 1e-2;
  double weight_decay = 2e-3;
  double momentum = 0.9;                              // kSgd, kMuon
  bool nesterov = false;                              // kSgd, kMuon
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  // kAdam, kAdamw, kMuon
  double clip_norm = 0;                               // 0: off
  Schedule schedule = Schedule::kConstant;
  int64_t warmup_steps = 0;    // kWarmup (at least 1), kCosine
  int64_t schedule_steps = 0;  // kCosine, at least 1: updates of the descent, counted from the end of the warm-up
  double final_factor = 0;     // kCosine: of the learning rate at the end of the descent and ever after
  double grokfast_alpha = 0.98;
  double grokfast_lambda = 0;  // 0: off
  bool perpendicular_gradient = false;
};

enum class Precision { kFloat32, kFloat64 };
enum class MatmulPrecision { kFull, kTf32, kBf16 };

struct RunParameters {
  TaskParameters task;
  ModelParameters model;
  Loss loss = Loss::kCrossEntropy;
  int64_t batch_size = 0;  // 0: full batch
  OptimizerParameters optimizer;
  Precision precision = Precision::kFloat32;
  MatmulPrecision matmul_precision = MatmulPrecision::kFull;
  bool reference = false;  // implementation: reference
};

// Checks `given` (a flat object of dotted names) against the trainer's schema, fills in defaults and returns the typed
// values. INVALID_ARGUMENT as CompleteParameters has it.
absl::StatusOr<RunParameters> ReadRunParameters(const Json& given);

}  // namespace seedbed::engine
