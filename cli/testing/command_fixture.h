#pragma once

#include <gtest/gtest.h>

#include <memory>
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
    environment.read_line = [this] {
      connected_while_asked = !server_.expired();
      return answer;
    };
    environment.current_width = [this] { return style.width; };
    environment.connect = [this](const GlobalOptions& options, Access access) -> absl::StatusOr<Connection> {
      seen_options = options;
      accesses.push_back(access);
      Connection connection;
      connection.server = std::make_shared<int>();
      server_ = connection.server;
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
  std::vector<Access> accesses;  // of each connection, in order
  bool connected_while_asked = false;
  EmbeddedOptions run_options;

 private:
  std::weak_ptr<void> server_;  // of the latest connection
};

}  // namespace seedbed::cli
