#pragma once

#include <cstdint>
#include <string>
#include <vector>

// The tables that trainer `modular` learns, as far as their shape goes: `plan` needs it to say what is impossible, the
// engine to build them. Operations as in Power et al., "Grokking: Generalization Beyond Overfitting on Small
// Algorithmic Datasets" (2022), Appendix A.1, and multiplication without and with zero.
namespace seedbed {

struct ModularOperation {
  // Which pairs (a, b) there are.
  enum class Pairs {
    kAll,               // n · n of n symbols
    kWithoutZero,       // neither a nor b is 0: (n - 1)²
    kDivisorIsNotZero,  // b is not 0: n · (n - 1)
  };
  std::string name;     // value of task.operation
  std::string formula;  // for people
  Pairs pairs = Pairs::kAll;
  bool commutes = false;           // the answers to (a, b) and (b, a) are equal, whatever the modulus
  bool divides = false;            // by some b: needs a prime modulus
  bool is_multiplicative = false;  // a homomorphism of the residues' product: only their logarithms have an order
  bool on_permutations = false;    // a and b are permutations of five things, not residues: no modulus
};

// All of them, in the order in which people read them.
const std::vector<ModularOperation>& ModularOperations();
// nullptr if there is none of that name.
const ModularOperation* FindModularOperation(const std::string& name);

inline constexpr int64_t kPermutationsOfFive = 120;

bool IsPrime(int64_t n);

// Whether the symbols have an order in which a Fourier transform over them means something: residues as they are, or by
// their logarithm, which all but 0 have modulo a prime.
bool HasSpectrum(const ModularOperation& operation, int64_t modulus);

// How many things a split deals out: pairs, or pairs {a, b} without order (for operations that commute). `symbols` is
// the modulus, or kPermutationsOfFive.
int64_t SplitUnitCount(const ModularOperation& operation, int64_t symbols, bool unordered);

// How many of them are trained on: round(train_fraction · units), halves away from 0.
int64_t TrainUnitCount(double train_fraction, int64_t units);

}  // namespace seedbed
