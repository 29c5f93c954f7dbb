// Included once by each of elementwise_*.cc with SEEDBED_INSTRUCTION_SET defined as that file's namespace. It and its
// parts include no header with inline functions: one compiled here for a newer instruction set could replace the copy
// that older CPUs run.
#include "worker/engine/elementwise.h"
#include "worker/engine/elementwise_attention.h"
#include "worker/engine/elementwise_norm.h"
#include "worker/engine/elementwise_rows.h"
#include "worker/engine/elementwise_slab.h"

namespace seedbed::engine::SEEDBED_INSTRUCTION_SET {
namespace {

template <typename T>
constexpr ElementwiseKernels<T> kKernels = {
    GatherActivate<T>,
    Activate<T>,
    SoftmaxLoss<T>,
    SoftmaxLossGradient<T>,
    MultiplySum<T>,
    Scatter<T>,
    GatherSum<T>,
    ScatterSum<T>,
    ColumnSum<T>,
    AddToRows<T>,
    LayerNorm<T>,
    LayerNormGradient<T>,
    AttentionWeights<T>,
    Attend<T>,
    AttendScoreGradient<T>,
    AttendValueGradient<T>,
    ActivatePooled<T>,
    MultiplyPooledSum<T>,
    Sgd<T>,
    Adam<T>,
    Amplify<T>,
    AddMultiple<T>,
    Dot<T>,
};

}  // namespace

const ElementwiseKernels<float>& FloatKernels() {
  return kKernels<float>;
}
const ElementwiseKernels<double>& DoubleKernels() {
  return kKernels<double>;
}

}  // namespace seedbed::engine::SEEDBED_INSTRUCTION_SET
