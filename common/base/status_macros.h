#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns early from a function that returns absl::Status or absl::StatusOr. Torch defines CHECK and LOG, so ours carry
// a prefix.
#define SEEDBED_RETURN_IF_ERROR(expression)            \
  do {                                                 \
    ::absl::Status seedbed_status_ = (expression);     \
    if (!seedbed_status_.ok()) return seedbed_status_; \
  } while (false)

#define SEEDBED_CONCAT_INNER_(a, b) a##b
#define SEEDBED_CONCAT_(a, b) SEEDBED_CONCAT_INNER_(a, b)

#define SEEDBED_ASSIGN_OR_RETURN(lhs, expression) \
  SEEDBED_ASSIGN_OR_RETURN_IMPL_(SEEDBED_CONCAT_(seedbed_or_, __LINE__), lhs, expression)

#define SEEDBED_ASSIGN_OR_RETURN_IMPL_(holder, lhs, expression) \
  auto holder = (expression);                                   \
  if (!holder.ok()) return holder.status();                     \
  lhs = std::move(holder).value()
