#pragma once

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "gtest/gtest.h"

namespace seedbed {

// Whether this thread of this process sleeps in the kernel.
inline bool Sleeps(pid_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string stat;
  std::getline(file, stat);
  const size_t end_of_name = stat.rfind(')');
  return end_of_name != std::string::npos && stat.compare(end_of_name, 3, ") S") == 0;
}

// `work` in a thread of its own, which has come to where it waits, or has ended.
template <typename Result>
std::future<Result> UntilItWaits(std::function<Result()> work) {
  const auto thread = std::make_shared<std::promise<pid_t>>();
  std::future<Result> result = std::async(std::launch::async, [thread, work = std::move(work)] {
    thread->set_value(static_cast<pid_t>(syscall(SYS_gettid)));
    return work();
  });
  const pid_t id = thread->get_future().get();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!Sleeps(id) && result.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    if (std::chrono::steady_clock::now() > deadline) {
      ADD_FAILURE() << "the thread neither waits nor ends";
      break;
    }
  }
  return result;
}

}  // namespace seedbed
