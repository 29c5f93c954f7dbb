// backup and doctor, on data directories made here.
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "cli/testing/command_fixture.h"
#include "coordinator/coordinator.h"
#include "gmock/gmock.h"

namespace seedbed::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class CareTest : public CommandTest {
 protected:
  CareTest() {
    std::string pattern = (fs::temp_directory_path() / "seedbed-care-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    CoordinatorOptions options;
    options.directory = In("data");
    options.synchronous = StoreOptions::Synchronous::kOff;
    EXPECT_TRUE(Coordinator::Open(std::move(options)).ok());
  }
  ~CareTest() override { fs::remove_all(directory_); }

  std::string In(const std::string& name) const { return directory_ + "/" + name; }

  std::string directory_;
};

TEST_F(CareTest, ABackupIsOneFileForItsOwnerOnly) {
  const Result result = Run({"backup", "--data", In("data"), "--output", In("copy.db")});
  EXPECT_EQ(result.code, kExitOk) << result.err;
  EXPECT_THAT(result.out, HasSubstr("wrote " + In("copy.db")));
  EXPECT_EQ(fs::status(In("copy.db")).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  const Result again = Run({"backup", "--data", In("data"), "--output", In("copy.db")});
  EXPECT_EQ(again.code, kExitFailed);
  EXPECT_THAT(again.err, HasSubstr("exists"));
}

TEST_F(CareTest, WithCheckpointsItIsADataDirectory) {
  const Result result = Run({"backup", "--data", In("data"), "--with-checkpoints", In("copy/"), "--json"});
  EXPECT_EQ(result.code, kExitOk) << result.err;
  EXPECT_EQ(Parse(result.out)["checkpoints"], 0);
  EXPECT_EQ(fs::status(In("copy")).permissions(), fs::perms::owner_all);
  EXPECT_EQ(Run({"doctor", "--data", In("copy")}).code, kExitOk);
  EXPECT_EQ(Run({"backup", "--output", "a", "--with-checkpoints", "b"}).code, kExitUsage);
}

TEST_F(CareTest, TheDoctorTellsWhatIsWrongAndWhatToDo) {
  const Result well = Run({"doctor", "--data", In("data")});
  EXPECT_EQ(well.code, kExitOk);
  EXPECT_EQ(well.out, In("data") + ": 0 runs, 0 rows, 0 checkpoints\nnothing is wrong\n");
  std::ofstream(In("data/results.db"), std::ios::trunc) << std::string(9000, 'x');
  const Result ill = Run({"doctor", "--data", In("data")});
  EXPECT_EQ(ill.code, kExitFailed);
  EXPECT_THAT(ill.out, HasSubstr("integrity: "));
  EXPECT_THAT(ill.out, HasSubstr("\n    → "));
  const Result json = Run({"doctor", "--data", In("data"), "--json", "--quick"});
  EXPECT_EQ(json.code, kExitFailed);
  const OrderedJson document = Parse(json.out);
  EXPECT_TRUE(document["used_by"].is_null());
  EXPECT_EQ(document["findings"][0]["check"], "integrity");
  EXPECT_FALSE(document["findings"][0]["advice"].get<std::string>().empty());
  EXPECT_TRUE(document["removed"].empty());
}

TEST_F(CareTest, BothWantTheMachineThatHasTheFiles) {
  for (const char* command : {"backup", "doctor"}) {
    const Result result = Run({command, "--server", "head:7733"});
    EXPECT_EQ(result.code, kExitUsage);
    EXPECT_THAT(result.err, HasSubstr("--data DIR"));
    EXPECT_EQ(Run({command, "--data", In("nothing")}).code, kExitNotFound);
  }
}

}  // namespace
}  // namespace seedbed::cli
