#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "common/schema/modular_operations.h"

namespace seedbed::engine {

// A permutation of {0, …, 4} as its images: i goes to images[i].
using PermutationOfFive = std::array<int8_t, 5>;

// Permutation number `index`, in the lexicographic order of their images: 0 is the identity (0 1 2 3 4), 1 is
// (0 1 2 4 3), 119 is (4 3 2 1 0). 0 <= index < kPermutationsOfFive.
PermutationOfFive PermutationNumber(int32_t index);
int32_t NumberOf(const PermutationOfFive& permutation);

// What the answer to (a, b) is, for the pairs that the operation has: a residue modulo `modulus`, which is at most 4096
// and prime where the operation divides, or the number of a permutation (xy applies y first and then x).
std::function<int32_t(int32_t a, int32_t b)> AnswersOf(const ModularOperation& operation, int32_t modulus);

}  // namespace seedbed::engine
