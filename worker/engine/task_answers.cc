#include "worker/engine/task_answers.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace seedbed::engine {
namespace {

using Polynomial = int64_t (*)(int64_t a, int64_t b);

// Of residues below 4096, so that no value exceeds 2^37 in size.
Polynomial PolynomialNamed(const std::string& name) {
  static constexpr std::pair<const char*, Polynomial> kPolynomials[] = {
      {"add", [](int64_t a, int64_t b) { return a + b; }},
      {"subtract", [](int64_t a, int64_t b) { return a - b; }},
      {"multiply", [](int64_t a, int64_t b) { return a * b; }},
      {"multiply_with_zero", [](int64_t a, int64_t b) { return a * b; }},
      {"x2+y2", [](int64_t a, int64_t b) { return a * a + b * b; }},
      {"x2+xy+y2", [](int64_t a, int64_t b) { return a * a + a * b + b * b; }},
      {"x2+xy+y2+x", [](int64_t a, int64_t b) { return a * a + a * b + b * b + a; }},
      {"x3+xy", [](int64_t a, int64_t b) { return a * a * a + a * b; }},
      {"x3+xy2+y", [](int64_t a, int64_t b) { return a * a * a + a * b * b + b; }},
  };
  for (const auto& [known, polynomial] : kPolynomials) {
    if (name == known) return polynomial;
  }
  return nullptr;
}

int32_t Residue(int64_t value, int64_t modulus) {
  const int64_t remainder = value % modulus;
  return static_cast<int32_t>(remainder < 0 ? remainder + modulus : remainder);
}

// 1/b modulo a prime, for b = 1 … modulus - 1; 0 for b = 0. From p = (p / b)·b + p % b: 1/b = -(p / b) / (p % b).
std::vector<int32_t> Inverses(int32_t modulus) {
  std::vector<int32_t> inverses(static_cast<size_t>(modulus), 0);
  inverses[1] = 1;
  for (int32_t b = 2; b < modulus; ++b) {
    inverses[b] = Residue(-static_cast<int64_t>(modulus / b) * inverses[modulus % b], modulus);
  }
  return inverses;
}

// Products by number, and inverses.
struct Group {
  std::vector<std::vector<int32_t>> product;
  std::vector<int32_t> inverse;

  Group() : inverse(kPermutationsOfFive) {
    for (int32_t x = 0; x < kPermutationsOfFive; ++x) {
      product.emplace_back();
      const PermutationOfFive after = PermutationNumber(x);
      for (int32_t y = 0; y < kPermutationsOfFive; ++y) {
        const PermutationOfFive first = PermutationNumber(y);
        PermutationOfFive both{};
        for (size_t i = 0; i < both.size(); ++i) both[i] = after[static_cast<size_t>(first[i])];
        product[x].push_back(NumberOf(both));
        if (product[x][y] == 0) inverse[x] = y;
      }
    }
  }
};

std::function<int32_t(int32_t, int32_t)> PermutationAnswers(const std::string& name) {
  const auto group = std::make_shared<const Group>();
  if (name == "s5_xyx") {
    return [group](int32_t x, int32_t y) { return group->product[group->product[x][y]][x]; };
  }
  if (name == "s5_xyx-1") {
    return [group](int32_t x, int32_t y) { return group->product[group->product[x][y]][group->inverse[x]]; };
  }
  return [group](int32_t x, int32_t y) { return group->product[x][y]; };
}

}  // namespace

PermutationOfFive PermutationNumber(int32_t index) {
  std::vector<int8_t> left = {0, 1, 2, 3, 4};
  PermutationOfFive permutation{};
  int32_t block = kPermutationsOfFive;  // permutations that begin alike
  for (size_t i = 0; i < permutation.size(); ++i) {
    block /= static_cast<int32_t>(left.size());
    const int32_t choice = index / block;
    index %= block;
    permutation[i] = left[static_cast<size_t>(choice)];
    left.erase(left.begin() + choice);
  }
  return permutation;
}

int32_t NumberOf(const PermutationOfFive& permutation) {
  int32_t number = 0;
  for (size_t i = 0; i < permutation.size(); ++i) {
    const auto smaller_later = std::count_if(permutation.begin() + static_cast<ptrdiff_t>(i), permutation.end(),
                                             [&](int8_t image) { return image < permutation[i]; });
    number = number * static_cast<int32_t>(permutation.size() - i) + static_cast<int32_t>(smaller_later);
  }
  return number;
}

std::function<int32_t(int32_t a, int32_t b)> AnswersOf(const ModularOperation& operation, int32_t modulus) {
  if (operation.on_permutations) return PermutationAnswers(operation.name);
  if (operation.divides) {
    const bool subtracts = operation.name == "divide_or_subtract";
    return [modulus, subtracts, inverses = Inverses(modulus)](int32_t a, int32_t b) {
      if (subtracts && b % 2 == 0) return Residue(a - b, modulus);
      return Residue(static_cast<int64_t>(a) * inverses[b], modulus);
    };
  }
  return [modulus, polynomial = PolynomialNamed(operation.name)](int32_t a, int32_t b) {
    return Residue(polynomial(a, b), modulus);
  };
}

}  // namespace seedbed::engine
