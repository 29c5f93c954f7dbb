#pragma once

#include <memory>
#include <string>
#include <vector>

#include "coordinator/storage/storage_test_support.h"

namespace seedbed::storage_test {

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() : data_(directory_.path() + "/data"), store_(OpenStore(FastOptions(data_))) {}

  // A sweep of 2 configurations × 2 seeds (runs 1 to 4) and the worker w1, with runs 1 and 2 granted.
  void WriteSweep() {
    std::vector<core::Event> events = SweepEvents("sweep", 2, 2);
    events.push_back(WorkerEvent("w1"));
    events.push_back(Grant(RunId(1), 1, 1));
    events.push_back(Grant(RunId(2), 1, 1));
    SEEDBED_ASSERT_OK(store_->Write(Events(events)));
  }
  std::string One(const std::string& sql) { return storage_test::One(*store_, sql); }

  TemporaryDirectory directory_;
  std::string data_;
  std::unique_ptr<Store> store_;
};

}  // namespace seedbed::storage_test
