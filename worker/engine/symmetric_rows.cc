#include "worker/engine/symmetric_rows.h"

#include <algorithm>
#include <cstddef>
#include <tuple>

namespace seedbed::engine {
namespace {

using Row = SymmetricRows::Row;

Row SortedRow(const Example& example) {
  Row row;
  row.a = std::min(example.a, example.b);
  row.b = std::max(example.a, example.b);
  row.label = example.label;
  return row;
}

// Rows with the same pair and label become one, in rising order of (a, b, label).
std::vector<Row> Merge(std::vector<Row> rows) {
  const auto key = [](const Row& row) { return std::make_tuple(row.a, row.b, row.label); };
  std::stable_sort(rows.begin(), rows.end(), [&](const Row& x, const Row& y) { return key(x) < key(y); });
  std::vector<Row> merged;
  for (const Row& row : rows) {
    if (merged.empty() || key(merged.back()) != key(row)) {
      merged.push_back(row);
      continue;
    }
    merged.back().train_weight += row.train_weight;
    merged.back().mirrored_weight += row.mirrored_weight;
    merged.back().unseen_weight += row.unseen_weight;
  }
  return merged;
}

}  // namespace

SymmetricRows MergeMirrored(const Task& task) {
  std::vector<Row> rows;
  rows.reserve(task.train.size() + task.test.size());
  for (const Example& example : task.train) {
    rows.push_back(SortedRow(example));
    rows.back().train_weight = 1;
  }
  for (size_t i = 0; i < task.test.size(); ++i) {
    rows.push_back(SortedRow(task.test[i]));
    (task.test_is_mirrored[i] ? rows.back().mirrored_weight : rows.back().unseen_weight) = 1;
  }
  SymmetricRows result;
  for (const Row& row : Merge(std::move(rows))) {
    (row.train_weight > 0 ? result.trained : result.tested_only).push_back(row);
    result.train_examples += row.train_weight;
    result.mirrored_examples += row.mirrored_weight;
    result.unseen_examples += row.unseen_weight;
  }
  return result;
}

}  // namespace seedbed::engine
