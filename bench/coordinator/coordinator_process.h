#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/coordinator/figures.h"

namespace seedbed::bench {

// A real seedbed-coordinator, child of this process, that listens on a free port of the loopback interface. It ends
// with this process, however that ends.
class CoordinatorProcess {
 public:
  // Returns once it serves. `program` is its path, `data` its data directory, `arguments` what else it is given.
  static std::unique_ptr<CoordinatorProcess> Start(const std::string& program, const std::string& data,
                                                   const std::vector<std::string>& arguments = {});
  // Kills it if it still runs.
  ~CoordinatorProcess();
  CoordinatorProcess(const CoordinatorProcess&) = delete;
  CoordinatorProcess& operator=(const CoordinatorProcess&) = delete;

  void Stop();  // SIGTERM, and waits
  void Kill();  // SIGKILL, and waits

  const std::string& address() const { return address_; }  // HOST:PORT
  const std::string& token() const { return token_; }
  double seconds_to_serve() const { return seconds_to_serve_; }
  ProcessFigures Figures() const;

 private:
  CoordinatorProcess() = default;
  void End(int signal);

  pid_t process_ = -1;
  int lifeline_ = -1;  // its end of file tells the child to leave
  std::string address_;
  std::string token_;
  double seconds_to_serve_ = 0;
};

// The program of that name in the directory of this one.
std::string SiblingProgram(const std::string& name);

}  // namespace seedbed::bench
