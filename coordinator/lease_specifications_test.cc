#include "coordinator/lease_specifications.h"

#include "absl/strings/str_cat.h"
#include "coordinator/storage/storage_test_support.h"
#include "gtest/gtest.h"

namespace seedbed {
namespace {

using namespace storage_test;  // NOLINT: written for tests of what stands on a store

class LeaseSpecificationsTest : public ::testing::Test {
 protected:
  static constexpr int kConfigurations = 1500;

  LeaseSpecificationsTest() : store_(OpenStore(FastOptions(directory_.path() + "/data"))) {
    SEEDBED_EXPECT_OK(store_->Write(Events(SweepEvents("sweep", kConfigurations, 1))));
    reader_ = OpenReader(*store_);
    sweep_.id = SweepId(1);
    sweep_.template_json = *reader_->TemplateJson(SweepId(1));
  }
  std::string Composed(ConfigurationId configuration, int64_t seed) {
    return *ComposeSpecification(sweep_.template_json, *reader_->ParametersJson(configuration), seed);
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Reader> reader_;
  core::SweepEntry sweep_;
};

TEST_F(LeaseSpecificationsTest, AreWhatWouldBeComposedInWhateverOrderTheyAreAskedFor) {
  LeaseSpecifications specifications(reader_.get());
  // In order, as runs are leased; from the back; the same again.
  std::vector<int64_t> ids;
  for (int64_t id = 1; id <= kConfigurations; ++id) ids.push_back(id);
  for (int64_t id = kConfigurations; id >= 1; id -= 7) ids.push_back(id);
  for (const int64_t id : ids) {
    const auto text = specifications.Specification(sweep_, ConfigurationId(id), 40 + id);
    ASSERT_TRUE(text.ok()) << text.status();
    ASSERT_EQ(*text, Composed(ConfigurationId(id), 40 + id));
  }
}

TEST_F(LeaseSpecificationsTest, FollowATemplateAndSayWhatIsMissing) {
  LeaseSpecifications specifications(reader_.get());
  EXPECT_EQ(*specifications.Specification(sweep_, ConfigurationId(3), 0), Composed(ConfigurationId(3), 0));
  sweep_.template_json =
      R"({"budget":{"seconds":2.5,"steps":7},"metrics":{"evaluate_every":1,"log_every":1},"stop":[{"not_finite":true}],"trainer":"x"})";
  EXPECT_EQ(*specifications.Specification(sweep_, ConfigurationId(3), 9), Composed(ConfigurationId(3), 9));
  EXPECT_EQ(specifications.Specification(sweep_, ConfigurationId(kConfigurations + 1), 0).status().code(),
            absl::StatusCode::kNotFound);
  sweep_.template_json = "{";
  EXPECT_EQ(specifications.Specification(sweep_, ConfigurationId(3), 0).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace seedbed
