#include "worker/engine/example_rows.h"

#include <algorithm>
#include <cstddef>
#include <tuple>
#include <utility>

namespace seedbed::engine {
namespace {

using Row = ExampleRows::Row;

Row RowOf(const Example& example) {
  Row row;
  row.a = example.a;
  row.b = example.b;
  row.label = example.label;
  return row;
}

// Training examples, then tested ones.
std::vector<Row> OneRowEach(const Task& task) {
  std::vector<Row> rows;
  rows.reserve(task.train.size() + task.test.size());
  for (const Example& example : task.train) {
    rows.push_back(RowOf(example));
    rows.back().train_weight = 1;
  }
  for (size_t i = 0; i < task.test.size(); ++i) {
    rows.push_back(RowOf(task.test[i]));
    (task.test_is_mirrored[i] ? rows.back().mirrored_weight : rows.back().unseen_weight) = 1;
  }
  return rows;
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

ExampleRows Divide(const std::vector<Row>& rows) {
  ExampleRows result;
  for (const Row& row : rows) {
    (row.train_weight > 0 ? result.trained : result.tested_only).push_back(row);
    result.train_examples += row.train_weight;
    result.mirrored_examples += row.mirrored_weight;
    result.unseen_examples += row.unseen_weight;
  }
  return result;
}

}  // namespace

ExampleRows MergeMirrored(const Task& task) {
  std::vector<Row> rows = OneRowEach(task);
  for (Row& row : rows) {
    if (row.a > row.b) std::swap(row.a, row.b);
  }
  return Divide(Merge(std::move(rows)));
}

ExampleRows KeepOrder(const Task& task) {
  return Divide(OneRowEach(task));
}

}  // namespace seedbed::engine
