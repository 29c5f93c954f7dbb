#include "cli/render/configuration_table.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

namespace seedbed::cli {
namespace {

v1::ConfigurationSummary Parse(const std::string& text) {
  v1::ConfigurationSummary configuration;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &configuration)) << text;
  return configuration;
}

TEST(ConfigurationTable, TellsReachedFromCensoredFromNeverReached) {
  const std::vector<v1::ConfigurationSummary> rows = {
      Parse(R"pb(configuration_id: 1
                 varied_json: "{\"optimizer.weight_decay\":0.0}"
                 seeds: 3
                 finished: 3
                 reached_train: 3
                 reached_test: 0
                 median_t_train: 850
                 outcomes { key: "memorised" value: 3 }
                 runs { finished: 3 })pb"),
      Parse(R"pb(configuration_id: 2
                 varied_json: "{\"optimizer.weight_decay\":0.3}"
                 seeds: 3
                 finished: 3
                 reached_train: 3
                 reached_test: 1
                 median_t_train: 845.5
                 outcomes { key: "memorised" value: 2 }
                 outcomes { key: "grokked" value: 1 }
                 runs { finished: 3 })pb"),
      Parse(R"pb(configuration_id: 3
                 varied_json: "{\"optimizer.weight_decay\":1.0}"
                 seeds: 3
                 finished: 2
                 reached_train: 2
                 reached_test: 2
                 median_t_train: 300
                 median_t_test: 1450
                 median_delay: 1150
                 outcomes { key: "grokked" value: 2 }
                 runs { finished: 2 running: 1 })pb"),
      Parse(R"pb(configuration_id: 4
                 varied_json: "{\"optimizer.weight_decay\":30.0}"
                 seeds: 3
                 runs { queued: 2 failed: 1 })pb"),
  };
  EXPECT_EQ(RenderConfigurations(rows, 6000, Style{}),
            "weight_decay  reached  T_train  T_grok   delay  outcomes\n"
            "           0      0/3      850       —       —  3 memorised\n"
            "         0.3      1/3    845.5  >6,000  >6,000  1 grokked, 2 memorised\n"
            "           1      2/3      300   1,450   1,150  2 grokked, 1 running\n"
            "          30      0/3                           1 failed, 2 queued\n");
}

TEST(ConfigurationTable, LeavesBlankWhatAPointDoesNotHave) {
  const std::vector<v1::ConfigurationSummary> rows = {
      Parse(R"pb(varied_json: "{\"optimizer.kind\":\"sgd\",\"optimizer.momentum\":0.9}" seeds: 1)pb"),
      Parse(R"pb(varied_json: "{\"optimizer.kind\":\"adamw\"}" seeds: 1)pb"),
  };
  EXPECT_EQ(RenderConfigurations(rows, 0, Style{}),
            "kind   momentum  reached  T_train  T_grok  delay  outcomes\n"
            "sgd         0.9      0/1\n"
            "adamw                0/1\n");
}

TEST(ConfigurationTable, NamesTheOnlyConfiguration) {
  EXPECT_EQ(RenderConfigurations({Parse("configuration_id: 7 varied_json: '{}' seeds: 2")}, 0, Style{}),
            "configuration  reached  T_train  T_grok  delay  outcomes\n"
            "7                  0/2\n");
}

}  // namespace
}  // namespace seedbed::cli
