#include "worker/engine/train_command.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace seedbed::engine {
namespace {

TEST(TrainCommandTest, WrongUsageIsExplained) {
  struct Case {
    std::vector<std::string> arguments;
    const char* message;
  };
  for (const Case& c : {
           Case{{"--set", "model.deph=2"}, "did you mean 'model.depth'"},
           Case{{"--set", "model.depth=two"}, "an integer"},
           Case{{"--set", "model.depth=2", "--set", "model.depth=3"}, "given twice"},
           Case{{"--set", "x"}, "KEY=VALUE"},
           Case{{"--step", "2"}, "did you mean --steps"},
           Case{{"model.depth=2"}, "no option model.depth"},
           Case{{"--steps"}, "--steps needs a value"},
           Case{{"--steps=-1"}, "at least 0"},
           Case{{"--seed", "1.5"}, "an integer"},
           Case{{"--log-every=0"}, "at least 1"},
           Case{{"--seconds", "soon"}, "above 0"},
           Case{{"--stop", "{\"metric\": 3}"}, "metric"},
           Case{{"--stop", "{"}, "--stop"},
       }) {
    testing::internal::CaptureStderr();
    EXPECT_EQ(RunTrainCommand(c.arguments), 2) << c.message;
    const std::string errors = testing::internal::GetCapturedStderr();
    EXPECT_NE(errors.find(c.message), std::string::npos) << c.message << " not in: " << errors;
  }
}

}  // namespace
}  // namespace seedbed::engine
