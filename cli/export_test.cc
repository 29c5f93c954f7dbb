#include "cli/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <regex>

#include "cli/testing/command_fixture.h"

namespace seedbed::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Query = CommandTest;

v1::QueryResponse Rows(const std::vector<std::string>& columns, int rows) {
  v1::QueryResponse response;
  for (const std::string& column : columns) response.add_columns(column);
  for (int i = 0; i < rows; ++i) {
    v1::Row* row = response.add_rows();
    row->add_values()->set_integer(i);
    row->add_values()->set_text("a,b");
    row->add_values()->set_is_null(true);
  }
  return response;
}

TEST_F(Query, PrintsATableJsonOrCsv) {
  fake.query = [](const v1::QueryRequest&) {
    return std::vector<v1::QueryResponse>{Rows({"n", "text", "x"}, 1), Rows({}, 1)};
  };
  EXPECT_EQ(Run({"query", "select 1"}).out, "n  text  x\n0  a,b\n0  a,b\n");
  EXPECT_EQ(Run({"query", "select 1", "--csv"}).out, "n,text,x\n0,\"a,b\",\n0,\"a,b\",\n");
  const OrderedJson json = Parse(Run({"query", "select 1", "--json"}).out);
  EXPECT_EQ(json["columns"], OrderedJson::parse(R"(["n","text","x"])"));
  EXPECT_EQ(json["rows"][1], OrderedJson::parse(R"({"n":0,"text":"a,b","x":null})"));
  EXPECT_EQ(json["truncated"], false);
  EXPECT_EQ(fake.query_requests[0].sql(), "select 1");
}

TEST_F(Query, SaysWhenItWasCutOff) {
  fake.query = [](const v1::QueryRequest&) {
    v1::QueryResponse response = Rows({"n", "n", "x"}, 3);
    response.set_truncated(true);
    return std::vector<v1::QueryResponse>{response};
  };
  const Result result = Run({"query", "select 1", "--json", "--limit", "3"});
  EXPECT_EQ(Parse(result.out)["truncated"], true);
  EXPECT_EQ(Parse(result.out)["columns"], OrderedJson::parse(R"(["n","n:2","x"])"));
  EXPECT_THAT(result.err, HasSubstr("cut off after 3 rows"));
  EXPECT_EQ(fake.query_requests[0].row_limit(), 3);
}

// Answers as a database with `total_` steps of each of two runs would, out of the conditions in the text of the query.
class ExportTest : public CommandTest {
 protected:
  ExportTest() {
    AddSweep(1, "it's");
    fake.query = [this](const v1::QueryRequest& request) { return std::vector<v1::QueryResponse>{Answer(request)}; };
  }

  v1::QueryResponse Answer(const v1::QueryRequest& request) {
    v1::QueryResponse response;
    const std::vector<std::string> columns = {"run_id", "step", "loss"};
    if (request.sql() == "select * from steps limit 0") {
      for (const std::string& column : columns) response.add_columns(column);
      return response;
    }
    EXPECT_THAT(request.sql(), HasSubstr("sweeps.name in ('it''s')"));
    std::smatch after;
    EXPECT_TRUE(std::regex_search(request.sql(), after, std::regex(R"(> \((-?\d+), (-?\d+)\))"))) << request.sql();
    const std::pair<int, int> last = {std::stoi(after[1]), std::stoi(after[2])};
    for (int run = 1; run <= 2; ++run) {
      for (int step = 0; step < total_; ++step) {
        if (std::make_pair(run, step) <= last) continue;
        if (response.rows_size() >= request.row_limit()) return response;
        if (response.rows_size() >= most_) {
          response.set_truncated(true);
          return response;
        }
        v1::Row* row = response.add_rows();
        row->add_values()->set_text("it's");
        row->add_values()->set_integer(run);
        row->add_values()->set_integer(step);
        if (step % 2 == 0) {
          row->add_values()->set_real(0.5);
        } else {
          row->add_values()->set_is_null(true);
        }
      }
    }
    return response;
  }

  int total_ = 3;
  int most_ = 1'000'000;
};

TEST_F(ExportTest, WritesStepsAsCsv) {
  EXPECT_EQ(Run({"export", "--what", "steps"}).out,
            "sweep,run_id,step,loss\nit's,1,0,0.5\nit's,1,1,\nit's,1,2,0.5\nit's,2,0,0.5\nit's,2,1,\nit's,2,2,0.5\n");
}

TEST_F(ExportTest, PagesWithoutLosingOrRepeatingARow) {
  total_ = 50;
  for (const int most : {1'000'000, 7}) {  // the server may cut a page short
    most_ = most;
    ExportOptions options;
    options.what = ExportOptions::What::kSteps;
    options.sweeps = {"it's"};
    for (const int64_t page : {1, 3, 20, 50, 100, 101}) {
      options.page_rows = page;
      StringOutput output;
      ASSERT_TRUE(Export(*fake.MakeClient(), options, output).ok());
      std::string expected = "sweep,run_id,step,loss\n";
      for (int run = 1; run <= 2; ++run) {
        for (int step = 0; step < total_; ++step) {
          expected +=
              "it's," + std::to_string(run) + "," + std::to_string(step) + "," + (step % 2 == 0 ? "0.5" : "") + "\n";
        }
      }
      EXPECT_EQ(output.Take(), expected) << page;
    }
  }
}

TEST_F(ExportTest, OpensJsonColumnsInJsonLines) {
  fake.query = [](const v1::QueryRequest& request) {
    v1::QueryResponse response;
    for (const char* column : {"sweep", "run_id", "parameters", "outcome"}) response.add_columns(column);
    if (request.sql().find("limit 0") == std::string::npos) {
      v1::Row* row = response.add_rows();
      row->add_values()->set_text("it's");
      row->add_values()->set_integer(1);
      row->add_values()->set_text(R"({"model.width":128})");
      row->add_values()->set_is_null(true);
    }
    return std::vector<v1::QueryResponse>{response};
  };
  EXPECT_EQ(Run({"export", "--format", "jsonl"}).out,
            "{\"sweep\":\"it's\",\"run_id\":1,\"parameters\":{\"model.width\":128},\"outcome\":null}\n");
}

TEST_F(ExportTest, WritesAFileAsAWhole) {
  const std::string path = ::testing::TempDir() + "/export_test_" + std::to_string(::getpid()) + ".csv";
  const Result result = Run({"export", "--what", "steps", "--output", path});
  EXPECT_EQ(result.code, kExitOk);
  EXPECT_EQ(result.out, "");
  std::ifstream file(path);
  std::string first;
  std::getline(file, first);
  EXPECT_EQ(first, "sweep,run_id,step,loss");
  const Result again = Run({"export", "--what", "steps", "--output", path});
  EXPECT_EQ(again.code, kExitFailed);
  EXPECT_THAT(again.err, HasSubstr("--force"));
  EXPECT_EQ(Run({"export", "--what", "steps", "--output", path, "--force"}).code, kExitOk);
  std::remove(path.c_str());
  EXPECT_EQ(Run({"export", "--output", "/nonexistent/x.csv"}).code, kExitFailed);
}

}  // namespace
}  // namespace seedbed::cli
