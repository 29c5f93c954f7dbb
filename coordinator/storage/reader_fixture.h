#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/storage/storage_test_support.h"

namespace seedbed::storage_test {

inline std::string Summary(std::optional<int64_t> train, std::optional<int64_t> test) {
  const auto text = [](std::optional<int64_t> value) { return value ? absl::StrCat(*value) : std::string("null"); };
  return absl::StrCat(
      R"({"collapsed":false,"cpu_seconds":1.5,"final_test_accuracy":0.75,"final_test_loss":"NaN",)",
      R"("final_train_accuracy":1,"final_train_loss":0.125,"first_nonfinite_step":null,"t_test_50":10,"t_test_99":)",
      text(test), R"(,"t_train_50":5,"t_train_99":)", text(train), R"(,"wall_seconds":2.5})");
}

class ReaderTest : public ::testing::Test {
 protected:
  ReaderTest() : store_(OpenStore(FastOptions(directory_.path()))) {
    std::vector<core::Event> events = SweepEvents("sweep", 3, 2);
    events.push_back(WorkerEvent("w1"));
    for (int run = 1; run <= 4; ++run) events.push_back(Grant(RunId(run), 1, 1));
    Write(Events(events));
    reader_ = OpenReader(*store_);
  }
  void Write(const Batch& batch) { SEEDBED_ASSERT_OK(store_->Write(batch)); }
  void FinishRuns() {
    Write(Events(
        {Finish(RunId(1), 1, 2, "grokked", Summary(100, 500)), Finish(RunId(2), 1, 2, "memorised", Summary(90, {})),
         core::AttemptEnded{
             RunId(3), 1, Fence(2), core::AttemptEnd::kCrashed, "signal 9", core::RunState::kFailed, {}, 3, 0}}));
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Reader> reader_;
};

}  // namespace seedbed::storage_test
