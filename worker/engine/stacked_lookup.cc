#include "c10/core/GradMode.h"
#include "torch/csrc/autograd/custom_function.h"
#include "worker/engine/stacked_model.h"

namespace seedbed::engine {
namespace {

// Rows of a table by their number. ATen's own gradient of that adds rows to one another with atomics on a GPU; here it
// is a product with the matrix that has a 1 where an example has a symbol.
class LookupFunction : public torch::autograd::Function<LookupFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& table,
                            const at::Tensor& index) {
    context->save_for_backward({index});
    context->saved_data["rows"] = table.size(1);
    return at::index_select(table, 1, index);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const at::Tensor index = context->get_saved_variables()[0];
    const at::Tensor& gradient = gradients[0];  // [K, n, width]
    const at::Tensor rows = at::arange(context->saved_data["rows"].toInt(), index.options());
    const at::Tensor has_row = rows.unsqueeze(-1).eq(index).to(gradient.scalar_type());  // [rows, n]
    return {at::bmm(has_row.unsqueeze(0).expand({gradient.size(0), -1, -1}), gradient), at::Tensor()};
  }
};

}  // namespace

at::Tensor Lookup(const at::Tensor& table, const at::Tensor& index) {
  return LookupFunction::apply(table, index);
}

}  // namespace seedbed::engine
