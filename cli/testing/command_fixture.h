#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/testing/fake_sweep_service.h"

namespace seedbed::cli {

// Runs whole command lines against a FakeSweepService.
class CommandTest : public ::testing::Test {
 protected:
  struct Result {
    int code;
    std::string out;
    std::string err;
  };

  Result Run(const std::vector<std::string>& arguments) {
    StringOutput out;
    StringOutput err;
    Environment environment;
    environment.out = &out;
    environment.err = &err;
    environment.style = style;
    environment.may_ask = may_ask;
    environment.read_line = [this] { return answer; };
    environment.current_width = [this] { return style.width; };
    environment.connect = [this](const GlobalOptions& options, Access) -> absl::StatusOr<Connection> {
      seen_options = options;
      Connection connection;
      connection.client = fake.MakeClient();
      connection.offline = offline;
      if (!offline) connection.worker_command = "seedbed-worker --server test";
      return connection;
    };
    environment.run = [this](Context&, const EmbeddedOptions& options) -> absl::StatusOr<int> {
      run_options = options;
      return kExitOk;
    };
    const int code = RunCommandLine(arguments, environment);
    return {code, out.Take(), err.Take()};
  }

  static OrderedJson Parse(const std::string& text) {
    OrderedJson json = OrderedJson::parse(text, nullptr, /*allow_exceptions=*/false);
    EXPECT_FALSE(json.is_discarded()) << text;
    return json;
  }

  v1::SweepSummary* AddSweep(int64_t id, const std::string& name) {
    v1::SweepSummary* sweep = fake.sweeps.add_sweeps();
    sweep->set_sweep_id(id);
    sweep->set_name(name);
    sweep->set_state(v1::SWEEP_STATE_ACTIVE);
    sweep->set_configurations(2);
    return sweep;
  }

  FakeSweepService fake;
  Style style;
  bool may_ask = false;
  bool offline = false;
  std::string answer;
  GlobalOptions seen_options;
  EmbeddedOptions run_options;
};

}  // namespace seedbed::cli
