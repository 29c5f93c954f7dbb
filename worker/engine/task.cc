#include "worker/engine/task.h"

#include <cmath>
#include <cstddef>
#include <functional>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/philox.h"
#include "common/schema/modular_operations.h"
#include "worker/engine/random_streams.h"
#include "worker/engine/task_answers.h"

namespace seedbed::engine {
namespace {

using Pairs = ModularOperation::Pairs;
using Pair = std::pair<int32_t, int32_t>;
using Answers = std::function<int32_t(int32_t, int32_t)>;

bool IsAsked(const ModularOperation& operation, int32_t a, int32_t b) {
  if (operation.pairs == Pairs::kAll) return true;
  return b != 0 && (a != 0 || operation.pairs == Pairs::kDivisorIsNotZero);
}

// The units that the split deals out: pairs (a, b), or those with a <= b alone.
std::vector<Pair> SplitUnits(const ModularOperation& operation, int32_t symbols, bool unordered) {
  std::vector<Pair> units;
  for (int32_t a = 0; a < symbols; ++a) {
    for (int32_t b = unordered ? a : 0; b < symbols; ++b) {
      if (IsAsked(operation, a, b)) units.emplace_back(a, b);
    }
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

// The wrong labels by trained unit. Each unit's draws follow those of the one before it, so that the first ones do not
// depend on how many there are.
std::vector<std::pair<Pair, int32_t>> DrawNoise(const std::vector<Pair>& trained, double share, const Answers& answers,
                                                int32_t classes, uint64_t seed) {
  const auto count = static_cast<size_t>(std::llround(share * static_cast<double>(trained.size())));
  std::vector<Pair> order = trained;
  PhiloxStream random(seed, kLabelNoiseStream);
  std::vector<std::pair<Pair, int32_t>> noise;
  for (size_t i = 0; i < count; ++i) {
    std::swap(order[i], order[i + random.NextBelow(order.size() - i)]);
    const int32_t right = answers(order[i].first, order[i].second);
    const auto other = static_cast<int32_t>(random.NextBelow(static_cast<uint64_t>(classes) - 1));
    noise.emplace_back(order[i], other < right ? other : other + 1);
  }
  return noise;
}

absl::StatusOr<const ModularOperation*> CheckedOperation(const TaskParameters& parameters) {
  const ModularOperation* operation = FindModularOperation(parameters.operation);
  if (operation == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("there is no task.operation ", parameters.operation));
  }
  if (operation->divides && !IsPrime(parameters.modulus)) {
    return absl::InvalidArgumentError(
        absl::StrCat("task.operation ", parameters.operation, " needs a prime task.modulus, not ", parameters.modulus));
  }
  if (parameters.unordered && !operation->commutes) {
    return absl::InvalidArgumentError(
        absl::StrCat("task.operation ", parameters.operation, " does not commute: task.pairs must be ordered"));
  }
  return operation;
}

}  // namespace

int32_t SymbolCount(const TaskParameters& parameters) {
  const ModularOperation* operation = FindModularOperation(parameters.operation);
  const bool on_permutations = operation != nullptr && operation->on_permutations;
  return static_cast<int32_t>(on_permutations ? kPermutationsOfFive : parameters.modulus);
}

absl::StatusOr<Task> BuildTask(const TaskParameters& parameters) {
  const absl::StatusOr<const ModularOperation*> checked = CheckedOperation(parameters);
  if (!checked.ok()) return checked.status();
  const ModularOperation& operation = **checked;
  const int32_t symbols = SymbolCount(parameters);
  const std::vector<Pair> units = SplitUnits(operation, symbols, parameters.unordered);
  const auto train_count =
      static_cast<size_t>(TrainUnitCount(parameters.train_fraction, static_cast<int64_t>(units.size())));
  if (train_count == 0 || train_count >= units.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "task.train_fraction ", parameters.train_fraction, " puts ", train_count, " of the ", units.size(),
        " pairs of ", symbols, " symbols into training: at least one must be trained on and one tested; change it"));
  }
  const auto seed = static_cast<uint64_t>(parameters.split_seed);
  const std::vector<bool> chosen = Choose(units.size(), train_count, seed);
  std::vector<bool> is_train(static_cast<size_t>(symbols) * symbols, false);
  const auto index = [&](int32_t a, int32_t b) { return static_cast<size_t>(a) * symbols + b; };
  std::vector<Pair> trained;
  for (size_t i = 0; i < units.size(); ++i) {
    if (!chosen[i]) continue;
    const auto [a, b] = units[i];
    trained.push_back(units[i]);
    is_train[index(a, b)] = true;
    if (parameters.unordered) is_train[index(b, a)] = true;
  }

  const Answers answers = AnswersOf(operation, static_cast<int32_t>(parameters.modulus));
  std::unordered_map<size_t, int32_t> wrong;
  for (const auto& [pair, label] : DrawNoise(trained, parameters.label_noise, answers, symbols, seed)) {
    wrong[index(pair.first, pair.second)] = label;
    if (parameters.unordered) wrong[index(pair.second, pair.first)] = label;
  }

  Task task;
  task.symbols = symbols;
  task.classes = symbols;
  task.has_mirrors = operation.commutes;
  for (int32_t a = 0; a < symbols; ++a) {
    for (int32_t b = 0; b < symbols; ++b) {
      if (!IsAsked(operation, a, b)) continue;
      Example example{a, b, answers(a, b)};
      if (is_train[index(a, b)]) {
        if (const auto found = wrong.find(index(a, b)); found != wrong.end()) example.label = found->second;
        task.train.push_back(example);
      } else {
        task.test.push_back(example);
        task.test_is_mirrored.push_back(task.has_mirrors && is_train[index(b, a)]);
      }
    }
  }
  return task;
}

}  // namespace seedbed::engine
