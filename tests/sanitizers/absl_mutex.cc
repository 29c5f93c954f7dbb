// Part of every program that is built with ThreadSanitizer. gRPC's locks are abseil's, which neither are instrumented
// nor use a function that ThreadSanitizer knows: so what one thread of gRPC's hands to another would pass for a race.
// These stand before the functions of the same name in abseil's shared library, call them, and tell what they order.
#include <absl/synchronization/mutex.h>
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstdlib>

namespace absl {
ABSL_NAMESPACE_BEGIN
namespace {

// abseil's own, by its name in the library. A member function is called as a function of the object.
template <typename Function>
Function* Real(const char* mangled) {
  void* const found = dlsym(RTLD_NEXT, mangled);
  if (found == nullptr) std::abort();
  return reinterpret_cast<Function*>(found);
}

}  // namespace

#define SEEDBED_ABSL(rest) "_ZN4absl7debian3" rest

void Mutex::Lock() {
  static auto* const real = Real<void(Mutex*)>(SEEDBED_ABSL("5Mutex4LockEv"));
  real(this);
  __tsan_acquire(this);
}

void Mutex::Unlock() {
  static auto* const real = Real<void(Mutex*)>(SEEDBED_ABSL("5Mutex6UnlockEv"));
  __tsan_release(this);
  real(this);
}

bool Mutex::TryLock() {
  static auto* const real = Real<bool(Mutex*)>(SEEDBED_ABSL("5Mutex7TryLockEv"));
  if (!real(this)) return false;
  __tsan_acquire(this);
  return true;
}

void CondVar::Wait(Mutex* mutex) {
  static auto* const real = Real<void(CondVar*, Mutex*)>(SEEDBED_ABSL("7CondVar4WaitEPNS0_5MutexE"));
  __tsan_release(mutex);
  real(this, mutex);
  __tsan_acquire(mutex);
}

bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  static auto* const real =
      Real<bool(CondVar*, Mutex*, Duration)>(SEEDBED_ABSL("7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE"));
  __tsan_release(mutex);
  const bool expired = real(this, mutex, timeout);
  __tsan_acquire(mutex);
  return expired;
}

bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  static auto* const real =
      Real<bool(CondVar*, Mutex*, Time)>(SEEDBED_ABSL("7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE"));
  __tsan_release(mutex);
  const bool expired = real(this, mutex, deadline);
  __tsan_acquire(mutex);
  return expired;
}

ABSL_NAMESPACE_END
}  // namespace absl
