#include "common/schema/modular_rules.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/schema/modular_operations.h"

namespace seedbed {
namespace {

using Values = std::vector<const Json*>;

int64_t Integer(const Json* value) {
  return value->get<int64_t>();
}

double Number(const Json* value) {
  return value->get<double>();
}

bool Is(const Json* value, const char* text) {
  return value != nullptr && *value == text;
}

const ModularOperation& Operation(const Json* name) {
  return *FindModularOperation(name->get<std::string>());
}

// task.modulus, task.operation
std::string DivisionNeedsAPrime(const Values& values) {
  if (values[0] == nullptr || !Operation(values[1]).divides || IsPrime(Integer(values[0]))) return "";
  return absl::StrCat("task.operation ", Operation(values[1]).name, " needs a prime task.modulus, and ",
                      Integer(values[0]), " is none: not every residue has an inverse; choose a prime");
}

// task.pairs, task.operation
std::string UnorderedPairsCommute(const Values& values) {
  if (!Is(values[0], "unordered") || Operation(values[1]).commutes) return "";
  return absl::StrCat("task.pairs unordered takes (a, b) and (b, a) for one, but task.operation ",
                      Operation(values[1]).name, " does not commute; use ordered pairs");
}

// task.train_fraction, task.operation, task.modulus, task.pairs
std::string BothSidesHavePairs(const Values& values) {
  const ModularOperation& operation = Operation(values[1]);
  const bool unordered = Is(values[3], "unordered");
  if (unordered && !operation.commutes) return "";  // told already
  const int64_t symbols = values[2] == nullptr ? kPermutationsOfFive : Integer(values[2]);
  const int64_t units = SplitUnitCount(operation, symbols, unordered);
  const int64_t trained = TrainUnitCount(Number(values[0]), units);
  if (trained > 0 && trained < units) return "";
  return absl::StrCat("task.train_fraction ", Number(values[0]), " puts ", trained, " of the ", units, " pairs of ",
                      values[2] == nullptr ? "permutations" : absl::StrCat("modulus ", symbols),
                      " into training: at least one must be trained on and one tested; change it");
}

// model.heads, model.width
std::string HeadsDivideWidth(const Values& values) {
  if (values[0] == nullptr || Integer(values[1]) % Integer(values[0]) == 0) return "";
  return absl::StrCat("model.heads ", Integer(values[0]), " does not divide model.width ", Integer(values[1]),
                      ", so the heads would differ in size; choose one that does");
}

// model.norm, model.layer_norm
std::string PostNormNeedsNorm(const Values& values) {
  if (!Is(values[0], "post") || *values[1] == Json(true)) return "";
  return "model.norm post says where LayerNorm stands, but model.layer_norm is false; leave model.norm out";
}

// optimizer.nesterov, optimizer.momentum
std::string NesterovNeedsMomentum(const Values& values) {
  if (values[0] == nullptr || *values[0] != Json(true) || Number(values[1]) > 0) return "";
  return "optimizer.nesterov needs an optimizer.momentum above 0";
}

// optimizer.warmup_steps, optimizer.schedule
std::string WarmupHasSteps(const Values& values) {
  if (!Is(values[1], "warmup") || Integer(values[0]) > 0) return "";
  return "optimizer.schedule warmup needs optimizer.warmup_steps of at least 1, the updates that it takes";
}

// optimizer.schedule_steps, optimizer.schedule
std::string CosineHasSteps(const Values& values) {
  if (values[0] == nullptr || Integer(values[0]) > 0) return "";
  return "optimizer.schedule cosine needs optimizer.schedule_steps of at least 1, the updates that the descent takes";
}

// optimizer.grokfast_alpha, optimizer.grokfast_lambda
std::string GrokfastHasWeight(const Values& values) {
  if (Number(values[1]) > 0 || Number(values[0]) == kGrokfastAlpha) return "";
  return "optimizer.grokfast_alpha is of no effect where optimizer.grokfast_lambda is 0; set that too, or leave both";
}

// matmul_precision, precision
std::string FastProductsAreFloat32(const Values& values) {
  if (Is(values[0], "full") || Is(values[1], "float32")) return "";
  return absl::StrCat("matmul_precision ", values[0]->get<std::string>(),
                      " rounds float32 products, but precision is float64; use full");
}

// task.operation
std::string NoMirrors(const Values& values) {
  if (Operation(values[0]).commutes) return "";
  return absl::StrCat("there only where task.operation commutes, and ", Operation(values[0]).name, " does not");
}

// task.operation, task.pairs
std::string NoMirroredPairs(const Values& values) {
  if (std::string mistake = NoMirrors(values); !mistake.empty()) return mistake;
  if (!Is(values[1], "unordered")) return "";
  return "of no pair where task.pairs is unordered: a tested pair's mirror is tested too";
}

// task.operation, task.modulus
std::string NoSpectrum(const Values& values) {
  const ModularOperation& operation = Operation(values[0]);
  if (HasSpectrum(operation, values[1] == nullptr ? 0 : Integer(values[1]))) return "";
  return absl::StrCat("there only where symbols have an order for a Fourier transform; for task.operation ",
                      operation.name, operation.on_permutations ? " they have none" : " task.modulus must be prime");
}

// task.operation
std::string NoAddition(const Values& values) {
  return Is(values[0], "add") ? "" : "there only where task.operation is add";
}

// batch_size
std::string NoBatches(const Values& values) {
  return Integer(values[0]) > 0 ? "" : "there only with minibatches, and batch_size is 0";
}

}  // namespace

ParameterRule AbsentWithoutMirrors() {
  return {{"task.operation"}, NoMirrors};
}

ParameterRule AbsentWithoutMirroredPairs() {
  return {{"task.operation", "task.pairs"}, NoMirroredPairs};
}

ParameterRule AbsentWithoutSpectrum() {
  return {{"task.operation", "task.modulus"}, NoSpectrum};
}

ParameterRule AbsentButForAddition() {
  return {{"task.operation"}, NoAddition};
}

ParameterRule AbsentInFullBatch() {
  return {{"batch_size"}, NoBatches};
}

std::vector<ParameterRule> ModularRules() {
  return {
      {{"task.modulus", "task.operation"}, DivisionNeedsAPrime},
      {{"task.pairs", "task.operation"}, UnorderedPairsCommute},
      {{"task.train_fraction", "task.operation", "task.modulus", "task.pairs"}, BothSidesHavePairs},
      {{"model.heads", "model.width"}, HeadsDivideWidth},
      {{"model.norm", "model.layer_norm"}, PostNormNeedsNorm},
      {{"optimizer.nesterov", "optimizer.momentum"}, NesterovNeedsMomentum},
      {{"optimizer.warmup_steps", "optimizer.schedule"}, WarmupHasSteps},
      {{"optimizer.schedule_steps", "optimizer.schedule"}, CosineHasSteps},
      {{"optimizer.grokfast_alpha", "optimizer.grokfast_lambda"}, GrokfastHasWeight},
      {{"matmul_precision", "precision"}, FastProductsAreFloat32},
  };
}

}  // namespace seedbed
