#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/json.h"

// For tests: the real seedbed-engine as a child process, driven as a worker drives it.
namespace seedbed::engine {

// Standard output and error go to pipes, as do the protocol's two descriptors.
class Engine {
 public:
  using Environment = std::vector<std::pair<std::string, std::string>>;

  // Without arguments it speaks the protocol; with some, its messages are read from standard output.
  explicit Engine(std::vector<std::string> arguments = {}, const Environment& environment = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  void Say(const Json& message) { SayText(message.dump()); }
  void SayText(const std::string& text);
  void EndInput() { CloseOnce(&input_); }
  void EndOutput() { CloseOnce(&output_); }
  void Signal(int number) const;

  // The next message; null at the end of output or when patience ends.
  Json Next();
  // The next message of this type; others before it are passed over.
  Json Next(const std::string& type);
  // Exit status; 128 + number after a signal.
  int Wait();
  std::string Errors();

 private:
  static void CloseOnce(int* fd);

  pid_t pid_ = -1;
  int input_ = -1;
  int output_ = -1;
  int errors_ = -1;
  std::string unread_;
  std::optional<int> status_;
};

// A run of some milliseconds: modulus 11, width 16, one layer.
Json SmallParameters();
Json Specification(int64_t steps, int64_t log_every = 10);
Json Start(int64_t run, Json specification, const std::string& directory = "/nowhere", Json resume = nullptr);

// What an engine said of one run.
struct Record {
  std::map<std::string, std::map<int64_t, Json>> values;  // metric → step → value
  std::vector<Json> checkpoints;
  Json last;  // finished, stopped or failed; null before
};

// Adds a message to its run's record.
void Note(const Json& message, std::map<int64_t, Record>* records);
// Everything of a run up to its last message, when it is the only one.
Record ReadRun(Engine* engine, int64_t run);

}  // namespace seedbed::engine
