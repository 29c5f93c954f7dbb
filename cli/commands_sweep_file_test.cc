// plan and submit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "cli/testing/command_fixture.h"

namespace seedbed::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

class SweepFile : public CommandTest {
 protected:
  SweepFile() {
    path_ = ::testing::TempDir() + "/cli_commands_test_" + std::to_string(::getpid()) + ".yaml";
    Write(
        "name: small\ntrainer: modular\nseeds: 2\nparameters:\n"
        "  optimizer.weight_decay: {values: [0, 1e-5, 1]}\nbudget: {steps: 400}\n");
  }
  ~SweepFile() override { std::remove(path_.c_str()); }
  void Write(const std::string& text) { std::ofstream(path_) << text; }
  std::string path_;
};

TEST_F(SweepFile, PlanCountsAndLists) {
  const OrderedJson json = Parse(Run({"plan", path_, "seeds=5", "--json", "--points", "2"}).out);
  EXPECT_EQ(json["name"], "small");
  EXPECT_EQ(json["configurations"], 3);
  EXPECT_EQ(json["runs"], 15);
  EXPECT_EQ(json["seeds"], OrderedJson::parse("[0,1,2,3,4]"));
  EXPECT_EQ(json["points"].size(), 2u);
  EXPECT_EQ(json["budget"]["steps"], 400);
  EXPECT_EQ(json["axes"]["optimizer.weight_decay"].size(), 3u);
  const Result plan = Run({"plan", path_});
  EXPECT_THAT(plan.out, StartsWith("small: 3 configurations × 2 seeds = 6 runs\n"));
  EXPECT_THAT(plan.out, HasSubstr("0, 1e-5, 1"));
  EXPECT_EQ(seen_options.data, "");  // it asked no coordinator
}

TEST_F(SweepFile, MistakesAreLocatedAndSendNothing) {
  Write("name: small\ntrainer: modular\nseeds: 0\nbudget: {steps: 400}\n");
  for (const char* command : {"plan", "submit"}) {
    const Result result = Run({command, path_});
    EXPECT_EQ(result.code, kExitUsage);
    EXPECT_THAT(result.err, StartsWith(path_ + ":3:"));
    EXPECT_THAT(result.err, HasSubstr("nothing was created"));
    EXPECT_EQ(result.out, "");
  }
  EXPECT_THAT(fake.submit_requests, IsEmpty());
  EXPECT_EQ(Run({"plan", path_ + ".missing"}).code, kExitNotFound);
}

TEST_F(SweepFile, AnExclusionThatMatchesNothingIsAWarning) {
  Write(
      "name: small\nbudget: {steps: 400}\nparameters:\n  model.width: {values: [8, 16]}\n"
      "exclude:\n  - {model.width: 8}\n  - {model.width: 32}\n");
  const std::string warning = path_ + ":7:5: warning: exclude: this matches no point\n";
  for (const char* command : {"plan", "submit"}) {
    const Result result = Run({command, path_});
    EXPECT_EQ(result.code, kExitOk);
    EXPECT_EQ(result.err, warning);
  }
  EXPECT_EQ(Parse(Run({"plan", path_, "--json"}).out)["warnings"].size(), 1u);
  EXPECT_EQ(Run({"plan", path_, "model.width=8,16,32"}).err, "");
}

TEST_F(SweepFile, SubmitSendsTheFileAndItsOverrides) {
  fake.submitted.set_name("small");
  fake.submitted.set_created(true);
  fake.submitted.set_runs_total(6);
  EXPECT_THAT(Run({"submit", path_, "seeds=3"}).out, HasSubstr("submitted"));
  Run({"submit", path_, "--json"});
  ASSERT_THAT(fake.submit_requests, SizeIs(2));
  EXPECT_THAT(fake.submit_requests[0].text(), HasSubstr("weight_decay"));
  EXPECT_THAT(fake.submit_requests[0].overrides(), ElementsAre("seeds=3"));
  EXPECT_THAT(fake.submit_requests[0].submission_id(), SizeIs(32));
  EXPECT_NE(fake.submit_requests[0].submission_id(), fake.submit_requests[1].submission_id());
}

}  // namespace
}  // namespace seedbed::cli
