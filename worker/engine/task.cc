#include "worker/engine/task.h"

#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/philox.h"
#include "worker/engine/random_streams.h"

namespace seedbed::engine {
namespace {

// The units that the split deals out: pairs (a, b), or those with a <= b alone.
std::vector<std::pair<int32_t, int32_t>> SplitUnits(int32_t modulus, bool unordered) {
  std::vector<std::pair<int32_t, int32_t>> units;
  for (int32_t a = 0; a < modulus; ++a) {
    for (int32_t b = unordered ? a : 0; b < modulus; ++b) units.emplace_back(a, b);
  }
  return units;
}

// Chooses `count` of 0 … total - 1.
std::vector<bool> Choose(size_t total, size_t count, uint64_t seed) {
  std::vector<uint32_t> order(total);
  std::iota(order.begin(), order.end(), 0);
  PhiloxStream random(seed, kSplitStream);
  std::vector<bool> chosen(total, false);
  for (size_t i = 0; i < count; ++i) {
    std::swap(order[i], order[i + random.NextBelow(total - i)]);
    chosen[order[i]] = true;
  }
  return chosen;
}

}  // namespace

absl::StatusOr<Task> BuildTask(const TaskParameters& parameters) {
  const auto modulus = static_cast<int32_t>(parameters.modulus);
  const auto units = SplitUnits(modulus, parameters.unordered);
  const auto train_count =
      static_cast<size_t>(std::llround(parameters.train_fraction * static_cast<double>(units.size())));
  if (train_count == 0 || train_count >= units.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "task.train_fraction ", parameters.train_fraction, " puts ", train_count, " of the ", units.size(),
        " pairs of modulus ", modulus, " into training: at least one must be trained on and one tested; change it"));
  }
  const std::vector<bool> chosen = Choose(units.size(), train_count, static_cast<uint64_t>(parameters.split_seed));

  std::vector<bool> is_train(static_cast<size_t>(modulus) * modulus, false);
  const auto index = [&](int32_t a, int32_t b) { return static_cast<size_t>(a) * modulus + b; };
  for (size_t i = 0; i < units.size(); ++i) {
    if (!chosen[i]) continue;
    is_train[index(units[i].first, units[i].second)] = true;
    if (parameters.unordered) is_train[index(units[i].second, units[i].first)] = true;
  }

  Task task;
  task.symbols = modulus;
  task.classes = modulus;
  for (int32_t a = 0; a < modulus; ++a) {
    for (int32_t b = 0; b < modulus; ++b) {
      const Example example{a, b, (a + b) % modulus};
      if (is_train[index(a, b)]) {
        task.train.push_back(example);
      } else {
        task.test.push_back(example);
        task.test_is_mirrored.push_back(is_train[index(b, a)]);
      }
    }
  }
  return task;
}

}  // namespace seedbed::engine
