#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>

namespace seedbed {

// While it lives no file descriptor of number `first` or above is to be had: what opens a file or a socket finds EMFILE.
// Those that are open stay so; what other threads close is not to be had again. Lower numbers are all in use, by
// default those of standard input, output and error. (A poll() of more than `first` descriptors fails, too.)
class NoDescriptors {
 public:
  explicit NoDescriptors(int first = 3) {
    int descriptor = -1;
    while ((descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0 && descriptor < first) {
    }
    if (descriptor < 0 || close(descriptor) != 0 || getrlimit(RLIMIT_NOFILE, &before_) != 0) std::abort();
    rlimit none = before_;
    none.rlim_cur = static_cast<rlim_t>(first);
    if (setrlimit(RLIMIT_NOFILE, &none) != 0) std::abort();
  }
  ~NoDescriptors() {
    if (setrlimit(RLIMIT_NOFILE, &before_) != 0) std::abort();
  }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

}  // namespace seedbed
