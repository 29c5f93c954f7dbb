#pragma once

#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "gtest/gtest.h"

namespace seedbed::engine {

// A directory of this test program's own, removed at its end: another one of the same name may run at the same time,
// of another checkout or build.
inline const std::string& TestDirectory() {
  struct Directory {
    Directory() : path(testing::TempDir() + "/engine-test-XXXXXX") {
      if (mkdtemp(path.data()) == nullptr) std::abort();
    }
    ~Directory() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
    std::string path;
  };
  static const Directory directory;
  return directory.path;
}

inline std::string TestPath(const std::string& name) {
  return TestDirectory() + "/" + name;
}

}  // namespace seedbed::engine
