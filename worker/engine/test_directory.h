#pragma once

#include <string>

#include "common/base/testing/temporary_directory.h"

namespace seedbed::engine {

// A directory of this test program's own: another one of the same name may run at the same time, of another checkout or
// build.
inline const std::string& TestDirectory() {
  static const TemporaryDirectory directory;
  return directory.path();
}

inline std::string TestPath(const std::string& name) {
  return TestDirectory() + "/" + name;
}

}  // namespace seedbed::engine
