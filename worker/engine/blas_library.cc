#include "worker/engine/blas_library.h"

#include <dlfcn.h>

namespace seedbed::engine {
namespace {

std::string Ask(const char* function) {
  using Describe = char* (*)();
  const auto describe = reinterpret_cast<Describe>(dlsym(RTLD_DEFAULT, function));
  const char* text = describe == nullptr ? nullptr : describe();
  return text == nullptr ? "unknown" : text;
}

}  // namespace

std::string BlasDescription() {
  std::string text = Ask("openblas_get_config");
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

std::string BlasKernelName() {
  return Ask("openblas_get_corename");
}

}  // namespace seedbed::engine
