#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/base/json.h"
#include "gtest/gtest.h"
#include "worker/engine/numerics.h"
#include "worker/engine/pack.h"
#include "worker/engine/test_directory.h"

// For tests.
namespace seedbed::engine {

// A pack that keeps what it says, by run.
class Recorder {
 public:
  explicit Recorder(int capacity, LearnerFactory make_learner = MakeLearner,
                    std::chrono::milliseconds turn = std::chrono::milliseconds(0))
      : Recorder(Settings(capacity, std::move(make_learner), turn)) {}
  explicit Recorder(PackSettings settings)
      : pack_(std::move(settings), [this](const std::string& text) {
          const Json message = Json::parse(text);
          said_[message["run"].get<int64_t>()].push_back(message);
        }) {}

  static PackSettings Settings(int capacity, LearnerFactory make_learner,
                               std::chrono::milliseconds turn = std::chrono::milliseconds(0)) {
    SetUpTrainingThread();
    PackSettings settings;
    settings.capacity = capacity;
    settings.numerics = {{"device", "test"}};
    settings.make_learner = std::move(make_learner);
    settings.turn = turn;
    return settings;
  }

  Pack& pack() { return pack_; }
  void Start(int64_t run, const RunSpecification& specification, const std::string& resume = "") {
    RunRequest request;
    request.run = run;
    request.specification = specification;
    request.directory = TestDirectory();
    if (!resume.empty()) request.resume = resume;
    pack_.Start(std::move(request));
  }
  void Finish() {
    while (!pack_.is_empty()) pack_.Advance();
  }
  const std::vector<Json>& Said(int64_t run) { return said_[run]; }
  Json Last(int64_t run) { return said_[run].empty() ? Json() : said_[run].back(); }
  std::vector<Json> Said(int64_t run, const std::string& type) {
    std::vector<Json> found;
    for (const Json& message : said_[run]) {
      if (message["type"] == type) found.push_back(message);
    }
    return found;
  }
  // Metric → step → value.
  std::map<std::string, std::map<int64_t, Json>> Values(int64_t run) {
    std::map<std::string, std::map<int64_t, Json>> all;
    for (const Json& message : Said(run, "metrics")) {
      for (const auto& [name, values] : message["values"].items()) {
        for (size_t i = 0; i < values.size(); ++i) all[name][message["steps"][i].get<int64_t>()] = values[i];
      }
    }
    return all;
  }

 private:
  std::map<int64_t, std::vector<Json>> said_;
  Pack pack_;
};

}  // namespace seedbed::engine
