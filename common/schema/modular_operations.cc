#include "common/schema/modular_operations.h"

#include <cmath>
#include <utility>

namespace seedbed {
namespace {

using Pairs = ModularOperation::Pairs;

ModularOperation Commuting(std::string name, std::string formula, Pairs pairs = Pairs::kAll) {
  ModularOperation operation{std::move(name), std::move(formula), pairs};
  operation.commutes = true;
  return operation;
}

ModularOperation Dividing(std::string name, std::string formula, Pairs pairs) {
  ModularOperation operation{std::move(name), std::move(formula), pairs};
  operation.divides = true;
  return operation;
}

ModularOperation Multiplicative(ModularOperation operation) {
  operation.is_multiplicative = true;
  return operation;
}

ModularOperation OnPermutations(std::string name, std::string formula) {
  ModularOperation operation{std::move(name), std::move(formula)};
  operation.on_permutations = true;
  return operation;
}

}  // namespace

const std::vector<ModularOperation>& ModularOperations() {
  static const auto* const operations = new std::vector<ModularOperation>{
      Commuting("add", "a + b"),
      {"subtract", "a - b"},
      Multiplicative(Commuting("multiply", "a·b, without the pairs that hold a zero", Pairs::kWithoutZero)),
      Multiplicative(Commuting("multiply_with_zero", "a·b")),
      Multiplicative(Dividing("divide", "a / b, b not 0", Pairs::kDivisorIsNotZero)),
      Commuting("x2+y2", "a² + b²"),
      Commuting("x2+xy+y2", "a² + ab + b²"),
      {"x2+xy+y2+x", "a² + ab + b² + a"},
      {"x3+xy", "a³ + ab"},
      {"x3+xy2+y", "a³ + ab² + b"},
      Dividing("divide_or_subtract", "a / b where b is odd, else a - b", Pairs::kAll),
      OnPermutations("s5_xy", "ab for permutations a and b of five things"),
      OnPermutations("s5_xyx-1", "aba⁻¹ for permutations a and b of five things"),
      OnPermutations("s5_xyx", "aba for permutations a and b of five things"),
  };
  return *operations;
}

const ModularOperation* FindModularOperation(const std::string& name) {
  for (const ModularOperation& operation : ModularOperations()) {
    if (operation.name == name) return &operation;
  }
  return nullptr;
}

bool IsPrime(int64_t n) {
  for (int64_t divisor = 2; divisor * divisor <= n; ++divisor) {
    if (n % divisor == 0) return false;
  }
  return n >= 2;
}

bool HasSpectrum(const ModularOperation& operation, int64_t modulus) {
  return !operation.on_permutations && (!operation.is_multiplicative || IsPrime(modulus));
}

int64_t SplitUnitCount(const ModularOperation& operation, int64_t symbols, bool unordered) {
  const int64_t first = operation.pairs == Pairs::kWithoutZero ? symbols - 1 : symbols;
  const int64_t second = operation.pairs == Pairs::kAll ? symbols : symbols - 1;
  return unordered ? first * (first + 1) / 2 : first * second;
}

int64_t TrainUnitCount(double train_fraction, int64_t units) {
  return std::llround(train_fraction * static_cast<double>(units));
}

}  // namespace seedbed
