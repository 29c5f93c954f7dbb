#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace seedbed::sweep_file {

// A place in the sweep file, or in one of the KEY=VALUE arguments. Lines and columns count from 1; columns count bytes.
struct Location {
  int argument = -1;  // index of the argument; -1 for the file
  int line = 1;
  int column = 1;
};

// Gathers everything that is wrong, so that people mend a file in one go. Not thread-safe.
class Mistakes {
 public:
  Mistakes(std::string file_name, std::vector<std::string> arguments);

  void Add(Location where, std::string_view what);
  // Something beyond a limit: makes the whole status RESOURCE_EXHAUSTED.
  void AddExcess(Location where, std::string_view what);

  bool empty() const { return count_ == 0; }
  int count() const { return count_; }
  // Further ones are only counted: no need to work out what they say.
  bool is_full() const;

  // Something that is allowed and yet hardly meant.
  void Warn(Location where, std::string_view what);
  std::vector<std::string> warnings() const;  // one line each

  // OK if empty; otherwise one line for each mistake, in the file's order.
  absl::Status ToStatus() const;

 private:
  struct Mistake {
    Location where;
    std::string what;
  };
  std::string Shown(const Mistake& mistake) const;

  std::string file_name_;
  std::vector<std::string> arguments_;
  std::vector<Mistake> kept_;
  std::vector<Mistake> warnings_;
  int count_ = 0;
  bool excess_ = false;
};

// "; did you mean 'x'?" or nothing.
std::string DidYouMean(std::string_view word, const std::vector<std::string>& known);

}  // namespace seedbed::sweep_file
