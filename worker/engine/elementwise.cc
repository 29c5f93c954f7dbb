#include "worker/engine/elementwise.h"

#include <cstring>

namespace seedbed::engine {

namespace baseline {
const ElementwiseKernels<float>& FloatKernels();
const ElementwiseKernels<double>& DoubleKernels();
}  // namespace baseline
#ifdef SEEDBED_X86_KERNELS
namespace avx2 {
const ElementwiseKernels<float>& FloatKernels();
const ElementwiseKernels<double>& DoubleKernels();
}  // namespace avx2
namespace avx512 {
const ElementwiseKernels<float>& FloatKernels();
const ElementwiseKernels<double>& DoubleKernels();
}  // namespace avx512
#endif

namespace {

struct InstructionSet {
  const char* name;
  bool is_available;
  const ElementwiseKernels<float>& (*float_kernels)();
  const ElementwiseKernels<double>& (*double_kernels)();
};

// The first that is available is the best.
const InstructionSet* InstructionSets(int* count) {
  static const InstructionSet kSets[] = {
#ifdef SEEDBED_X86_KERNELS
      {"avx512",
       __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("fma"),
       avx512::FloatKernels, avx512::DoubleKernels},
      {"avx2", __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), avx2::FloatKernels,
       avx2::DoubleKernels},
#endif
      {"baseline", true, baseline::FloatKernels, baseline::DoubleKernels},
  };
  *count = static_cast<int>(sizeof(kSets) / sizeof(kSets[0]));
  return kSets;
}

const InstructionSet& BestSet() {
  int count = 0;
  const InstructionSet* set = InstructionSets(&count);
  while (!set->is_available) ++set;
  return *set;
}

const ElementwiseKernels<float>& KernelsOf(const InstructionSet& set, float) {
  return set.float_kernels();
}
const ElementwiseKernels<double>& KernelsOf(const InstructionSet& set, double) {
  return set.double_kernels();
}

}  // namespace

template <typename T>
const ElementwiseKernels<T>& BestElementwiseKernels() {
  return KernelsOf(BestSet(), T());
}

template <typename T>
const ElementwiseKernels<T>* ElementwiseKernelsFor(const char* instruction_set) {
  int count = 0;
  const InstructionSet* sets = InstructionSets(&count);
  for (int i = 0; i < count; ++i) {
    if (sets[i].is_available && std::strcmp(sets[i].name, instruction_set) == 0) return &KernelsOf(sets[i], T());
  }
  return nullptr;
}

const char* BestInstructionSet() {
  return BestSet().name;
}

template const ElementwiseKernels<float>& BestElementwiseKernels<float>();
template const ElementwiseKernels<double>& BestElementwiseKernels<double>();
template const ElementwiseKernels<float>* ElementwiseKernelsFor<float>(const char*);
template const ElementwiseKernels<double>* ElementwiseKernelsFor<double>(const char*);

}  // namespace seedbed::engine
