// Expansion against an independent one that is as slow and plain as can be, and at size.
#include "common/sweep_file/expansion.h"

#include <algorithm>
#include <ctime>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/schema/trainer_schema.h"
#include "common/sweep_file/sweep.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seedbed {
namespace {

using Point = Json;  // an object of parameters

// The values that the random sweeps choose from; few, so that duplicates, matches and conditions are common.
const std::vector<std::pair<std::string, std::vector<Json>>>& Choices() {
  static const auto* const choices = new std::vector<std::pair<std::string, std::vector<Json>>>{
      {"model.width", {8, 16, 256}},
      {"model.depth", {1, 2, 3}},
      {"model.activation", {"relu", "gelu"}},
      {"optimizer.kind", {"sgd", "adamw"}},
      {"optimizer.momentum", {0.5, 0.9}},
      {"optimizer.beta1", {0.9, 0.99}},
      {"optimizer.weight_decay", {0.0, 0.002, 1.0}},
      {"task.modulus", {5, 7}},
  };
  return *choices;
}

struct Axis {
  std::vector<std::string> names;
  std::vector<std::vector<Json>> rows;
};

struct RandomSweep {
  std::vector<Axis> axes;
  std::map<std::string, std::map<std::string, Json>> when;
  std::vector<Point> exclude;
  std::vector<Point> include;
};

class Generator {
 public:
  explicit Generator(uint32_t seed) : random_(seed) {}

  RandomSweep Next() {
    RandomSweep sweep;
    std::vector<int> order(Choices().size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
    std::shuffle(order.begin(), order.end(), random_);
    order.resize(1 + Below(5));
    for (size_t i = 0; i < order.size();) {
      Axis axis;
      const size_t columns = std::min<size_t>(Below(3) == 0 ? 2 : 1, order.size() - i);
      const int rows = 1 + Below(3);
      axis.rows.resize(rows);
      for (size_t c = 0; c < columns; ++c, ++i) {
        axis.names.push_back(Choices()[order[i]].first);
        for (auto& row : axis.rows) row.push_back(Value(order[i]));
      }
      // Conditions look at parameters that come earlier in the table, so that there is no circle.
      if (columns == 1 && order[i - 1] > 0 && Below(3) == 0) {
        const int on = Below(order[i - 1]);
        sweep.when[axis.names[0]][Choices()[on].first] = Value(on);
      }
      sweep.axes.push_back(std::move(axis));
    }
    for (int i = Below(3); i > 0; --i) sweep.exclude.push_back(SomeValues());
    for (int i = Below(3); i > 0; --i) sweep.include.push_back(SomeValues());
    return sweep;
  }

 private:
  int Below(int bound) { return static_cast<int>(random_() % bound); }
  Json Value(int index) { return Choices()[index].second[Below(static_cast<int>(Choices()[index].second.size()))]; }
  Point SomeValues() {
    Point point = Json::object();
    for (int i = 1 + Below(2); i > 0; --i) {
      const int index = Below(static_cast<int>(Choices().size()));
      point[Choices()[index].first] = Value(index);
    }
    return point;
  }
  std::mt19937 random_;
};

// JSON is YAML: values are written as they are.
std::string YamlOf(const RandomSweep& sweep) {
  std::string parameters = "parameters:\n  precision: {value: float32}\n";
  std::string zip;
  for (const Axis& axis : sweep.axes) {
    if (axis.names.size() == 1) {
      std::string values;
      for (const auto& row : axis.rows) absl::StrAppend(&values, values.empty() ? "" : ", ", row[0].dump());
      absl::StrAppend(&parameters, "  ", axis.names[0], ": {values: [", values, "]");
      if (const auto when = sweep.when.find(axis.names[0]); when != sweep.when.end()) {
        absl::StrAppend(&parameters, ", when: ", Json(when->second).dump());
      }
      absl::StrAppend(&parameters, "}\n");
      continue;
    }
    Json group = Json::object();
    for (size_t c = 0; c < axis.names.size(); ++c) {
      for (const auto& row : axis.rows) group[axis.names[c]].push_back(row[c]);
    }
    absl::StrAppend(&zip, zip.empty() ? "zip:\n" : "", "  - ", group.dump(), "\n");
  }
  std::string text = absl::StrCat("name: s\nbudget: {steps: 1}\n", parameters, zip);
  if (!sweep.exclude.empty()) absl::StrAppend(&text, "exclude: ", Json(sweep.exclude).dump(), "\n");
  if (!sweep.include.empty()) absl::StrAppend(&text, "include: ", Json(sweep.include).dump(), "\n");
  return text;
}

bool MatchesAll(const Json& pattern, const Point& point) {
  for (const auto& [name, value] : pattern.items()) {
    if (!point.contains(name) || point[name] != value) return false;
  }
  return true;
}

// What holds at a point, from the trainer's own resolution: takes away what does not apply, again and again, until
// nothing changes. (Conditions have no circles here, so that there is one answer.)
Point NaivelyResolved(const RandomSweep& sweep, const Point& given, const std::map<std::string, Json>& applies) {
  const TrainerSchema& schema = *FindTrainer("modular");
  Point kept = Json::object();
  for (const auto& [name, values] : Choices()) {
    if (!given.contains(name)) continue;
    const absl::StatusOr<Json> so_far = ResolveParameters(schema, kept);
    EXPECT_TRUE(so_far.ok()) << so_far.status();
    if (const auto condition = applies.find(name); condition != applies.end()) {
      if (!MatchesAll(condition->second, *so_far)) continue;
    }
    if (const auto when = sweep.when.find(name); when != sweep.when.end()) {
      if (!MatchesAll(Json(when->second), *so_far)) continue;
    }
    kept[name] = given[name];
  }
  const absl::StatusOr<Json> resolved = ResolveParameters(schema, kept);
  EXPECT_TRUE(resolved.ok()) << resolved.status();
  return *resolved;
}

struct Expected {
  std::vector<std::string> points;
  bool is_mistake = false;
};

// The cross product by recursion.
void Cross(const RandomSweep& sweep, size_t axis, Point given, std::vector<Point>* out) {
  if (axis == sweep.axes.size()) {
    out->push_back(std::move(given));
    return;
  }
  for (const auto& row : sweep.axes[axis].rows) {
    Point next = given;
    for (size_t c = 0; c < row.size(); ++c) next[sweep.axes[axis].names[c]] = row[c];
    Cross(sweep, axis + 1, std::move(next), out);
  }
}

Expected NaivelyExpanded(RandomSweep sweep) {
  const std::map<std::string, Json> applies = {{"optimizer.momentum", {{"optimizer.kind", "sgd"}}},
                                               {"optimizer.beta1", {{"optimizer.kind", "adamw"}}}};
  // Parameters come before zips, whatever the order here.
  std::stable_sort(sweep.axes.begin(), sweep.axes.end(),
                   [](const Axis& a, const Axis& b) { return (a.names.size() == 1) > (b.names.size() == 1); });
  std::vector<Point> raw;
  Cross(sweep, 0, Json::object(), &raw);
  Expected expected;
  std::set<std::string> seen;
  const auto keep = [&](const Point& point) {
    if (seen.insert(CanonicalJson(point)).second) expected.points.push_back(CanonicalJson(point));
  };
  for (const Point& given : raw) {
    const Point point = NaivelyResolved(sweep, given, applies);
    const bool excluded = std::any_of(sweep.exclude.begin(), sweep.exclude.end(),
                                      [&](const Point& pattern) { return MatchesAll(pattern, point); });
    if (!excluded) keep(point);
  }
  for (const Point& include : sweep.include) {
    Point given = Json::object();
    for (const Axis& axis : sweep.axes) {
      if (axis.rows.size() != 1) continue;
      for (size_t c = 0; c < axis.names.size(); ++c) given[axis.names[c]] = axis.rows[0][c];
    }
    given.update(include);
    const Point point = NaivelyResolved(sweep, given, applies);
    expected.is_mistake = expected.is_mistake || !MatchesAll(include, point);
    keep(point);
  }
  expected.is_mistake = expected.is_mistake || expected.points.empty();
  return expected;
}

// Whether a parameter is given without `when` though no point can have it, by what the kinds may be.
bool GivesWhatNeverApplies(const RandomSweep& sweep) {
  std::set<std::string> kinds;
  bool kind_is_given = false;
  for (const Axis& axis : sweep.axes) {
    for (size_t c = 0; c < axis.names.size(); ++c) {
      if (axis.names[c] != "optimizer.kind") continue;
      kind_is_given = sweep.when.count("optimizer.kind") == 0;
      for (const auto& row : axis.rows) kinds.insert(row[c].get<std::string>());
    }
  }
  if (!kind_is_given) kinds.insert("sgd");
  for (const Point& include : sweep.include) {
    if (include.contains("optimizer.kind")) kinds.insert(include["optimizer.kind"].get<std::string>());
  }
  for (const Axis& axis : sweep.axes) {
    for (const std::string& name : axis.names) {
      if (sweep.when.count(name) != 0) continue;
      if (name == "optimizer.momentum" && kinds.count("sgd") == 0) return true;
      if (name == "optimizer.beta1" && kinds.count("adamw") == 0) return true;
    }
  }
  return false;
}

TEST(Expansion, EqualsANaiveOneOnRandomSweeps) {
  Generator generator(20240607);
  int valid = 0;
  int points = 0;
  for (int trial = 0; trial < 1500; ++trial) {
    const RandomSweep random = generator.Next();
    const std::string text = YamlOf(random);
    const Expected expected = NaivelyExpanded(random);
    const absl::StatusOr<Sweep> sweep = ParseSweep(text, "s.yaml");
    ASSERT_EQ(sweep.ok(), !expected.is_mistake && !GivesWhatNeverApplies(random)) << text << sweep.status();
    if (!sweep.ok()) continue;
    ++valid;
    std::vector<std::string> actual;
    for (const Configuration& configuration : sweep->configurations) actual.push_back(configuration.parameters_json);
    ASSERT_EQ(actual, expected.points) << text;
    points += static_cast<int>(actual.size());
  }
  EXPECT_GT(valid, 500);
  EXPECT_GT(points, 2000);
}

TEST(Expansion, WritesCanonicalJson) {
  Generator generator(7);
  for (int trial = 0; trial < 100; ++trial) {
    const absl::StatusOr<Sweep> sweep = ParseSweep(YamlOf(generator.Next()), "s.yaml");
    if (!sweep.ok()) continue;
    std::map<std::string, std::set<std::string>> values;
    for (const Configuration& configuration : sweep->configurations) {
      const Json parameters = Json::parse(configuration.parameters_json);
      EXPECT_EQ(CanonicalJson(parameters), configuration.parameters_json);
      EXPECT_EQ(DigestOf(configuration.parameters_json), configuration.digest);
      for (const auto& [name, value] : parameters.items()) values[name].insert(value.dump());
    }
    for (const Configuration& configuration : sweep->configurations) {
      Json varied = Json::object();
      const Json parameters = Json::parse(configuration.parameters_json);
      for (const auto& [name, value] : parameters.items()) {
        if (values[name].size() > 1) varied[name] = value;
      }
      EXPECT_EQ(CanonicalJson(varied), configuration.varied_json);
    }
  }
}

TEST(Expansion, OfAMillionPointsTakesSeconds) {
  const std::clock_t start = std::clock();
  const absl::StatusOr<Sweep> sweep = ParseSweep(
      "name: s\nbudget: {steps: 1}\nparameters: {model.width: {min: 1, max: 1000}, task.split_seed: {min: 1, max: "
      "1000}}",
      "s.yaml");
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_EQ(sweep->configurations.size(), 1'000'000u);
  // 3 s of processor time on the machine that this was written on; sanitizers multiply that.
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 60);
}

}  // namespace
}  // namespace seedbed
