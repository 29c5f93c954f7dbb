#include "common/sweep_file/distribution.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/philox.h"
#include "common/schema/number_text.h"
#include "common/schema/shown_text.h"
#include "common/sweep_file/fields.h"

namespace seedbed::sweep_file {
namespace {

using Kind = Distribution::Kind;

struct Form {
  const char* name;
  Kind kind;
  bool has_quantum;
  bool bounds_are_values;  // of a logarithmic one: min and max are values, not logarithms
};

constexpr Form kForms[] = {
    {"int_uniform", Kind::kIntegerUniform, false, false},
    {"uniform", Kind::kUniform, false, false},
    {"q_uniform", Kind::kUniform, true, false},
    {"log_uniform", Kind::kLogUniform, false, false},
    {"log_uniform_values", Kind::kLogUniform, false, true},
    {"q_log_uniform", Kind::kLogUniform, true, false},
    {"q_log_uniform_values", Kind::kLogUniform, true, true},
    {"inv_log_uniform", Kind::kInverseLogUniform, false, false},
    {"inv_log_uniform_values", Kind::kInverseLogUniform, false, true},
    {"normal", Kind::kNormal, false, false},
    {"q_normal", Kind::kNormal, true, false},
    {"log_normal", Kind::kLogNormal, false, false},
    {"q_log_normal", Kind::kLogNormal, true, false},
};

bool HasBounds(Kind kind) {
  return kind != Kind::kNormal && kind != Kind::kLogNormal;
}

bool IsWrittenAsInteger(const YamlNode& node) {
  return node.is_scalar() && ReadNumberText(node.text) && node.text.find_first_of(".eE") == std::string::npos;
}

const Form* FindForm(const YamlNode& map, const std::string& what, Mistakes* mistakes) {
  const YamlEntry* named = map.Find("distribution");
  std::string name;
  if (named == nullptr) {
    const YamlEntry* minimum = map.Find("min");
    const YamlEntry* maximum = map.Find("max");
    const bool integers = minimum != nullptr && maximum != nullptr && IsWrittenAsInteger(*minimum->value) &&
                          IsWrittenAsInteger(*maximum->value);
    name = integers ? "int_uniform" : "uniform";
  } else {
    const std::optional<std::string> text = ReadText(*named->value, absl::StrCat(what, ".distribution"), mistakes);
    if (!text) return nullptr;
    name = *text;
  }
  for (const Form& form : kForms) {
    if (name == form.name) return &form;
  }
  mistakes->Add(named->value->location,
                absl::StrCat(what, ": unknown distribution ", ShownText(name), DidYouMean(name, DistributionNames()),
                             " (expected ", absl::StrJoin(DistributionNames(), ", "), ")"));
  return nullptr;
}

// min and max of the distribution, checked against each other; false after a mistake.
bool ReadBounds(const YamlNode& map, const Form& form, const std::string& what, Distribution* into,
                Mistakes* mistakes) {
  const YamlEntry* minimum = map.Find("min");
  const YamlEntry* maximum = map.Find("max");
  if (minimum == nullptr || maximum == nullptr) {
    mistakes->Add(map.location, absl::StrCat(what, ": distribution ", form.name, " needs 'min' and 'max'"));
    return false;
  }
  const std::string min_name = absl::StrCat(what, ".min");
  const std::string max_name = absl::StrCat(what, ".max");
  if (form.kind == Kind::kIntegerUniform) {
    constexpr int64_t kMost = int64_t{1} << 53;  // beyond it doubles do not hold every integer
    const std::optional<int64_t> low = ReadInteger(*minimum->value, min_name, -kMost, mistakes);
    const std::optional<int64_t> high = ReadInteger(*maximum->value, max_name, -kMost, mistakes);
    if (!low || !high) return false;
    into->integer_minimum = *low;
    into->integer_maximum = std::min(*high, kMost);
    into->minimum = static_cast<double>(*low);
    into->maximum = static_cast<double>(*high);
  } else {
    const std::optional<double> low = ReadNumber(*minimum->value, min_name, mistakes);
    const std::optional<double> high = ReadNumber(*maximum->value, max_name, mistakes);
    if (!low || !high) return false;
    into->minimum = *low;
    into->maximum = *high;
  }
  if (!(into->minimum < into->maximum)) {
    mistakes->Add(maximum->value->location, absl::StrCat(what, ": expected min below max"));
    return false;
  }
  if (!form.bounds_are_values) return true;
  if (into->minimum <= 0) {
    mistakes->Add(minimum->value->location, absl::StrCat(what, ": distribution ", form.name, " needs min above 0"));
    return false;
  }
  into->minimum = std::log(into->minimum);
  into->maximum = std::log(into->maximum);
  if (form.kind == Kind::kInverseLogUniform) {
    std::swap(into->minimum, into->maximum);
    into->minimum = -into->minimum;
    into->maximum = -into->maximum;
  }
  return true;
}

bool ReadShape(const YamlNode& map, const std::string& what, Distribution* into, Mistakes* mistakes) {
  if (const YamlEntry* mu = map.Find("mu")) {
    const std::optional<double> value = ReadNumber(*mu->value, absl::StrCat(what, ".mu"), mistakes);
    if (!value) return false;
    into->mu = *value;
  }
  if (const YamlEntry* sigma = map.Find("sigma")) {
    const std::optional<double> value = ReadNumber(*sigma->value, absl::StrCat(what, ".sigma"), mistakes);
    if (!value) return false;
    if (*value <= 0) {
      mistakes->Add(sigma->value->location, absl::StrCat(what, ".sigma: expected a number above 0"));
      return false;
    }
    into->sigma = *value;
  }
  return true;
}

// FNV-1a, 64 bits (Fowler, Noll and Vo): gives each parameter a stream of its own.
uint64_t StreamOf(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

// No draw takes more words than this (but for rejections, which are rare and only overlap the next point's words).
constexpr uint64_t kWordsPerPoint = 8;

PhiloxStream StreamAt(uint64_t random_seed, const std::string& name, int64_t index) {
  return PhiloxStream(random_seed, StreamOf(name), static_cast<uint64_t>(index) * kWordsPerPoint);
}

double RoundToDigits(double value, int digits) {
  if (!std::isfinite(value)) return value;
  char text[64];
  const auto written = std::to_chars(text, text + sizeof(text), value, std::chars_format::scientific, digits - 1);
  double rounded = value;
  std::from_chars(text, written.ptr, rounded);
  return rounded;
}

double Multiple(double value, double quantum) {
  return RoundToDigits(std::nearbyint(value / quantum) * quantum, 12);
}

}  // namespace

const std::vector<std::string>& DistributionNames() {
  static const auto* const names = [] {
    auto* list = new std::vector<std::string>{"constant", "categorical"};
    for (const Form& form : kForms) list->push_back(form.name);
    return list;
  }();
  return *names;
}

std::optional<Distribution> ReadDistribution(const YamlNode& map, const std::string& what, Mistakes* mistakes) {
  const Form* form = FindForm(map, what, mistakes);
  if (form == nullptr) return std::nullopt;
  Distribution distribution;
  distribution.kind = form->kind;
  distribution.name = form->name;
  distribution.location = map.location;
  std::vector<std::string> own = {"min", "max"};
  if (!HasBounds(form->kind)) own = {"mu", "sigma"};
  if (form->has_quantum) own.push_back("q");
  bool valid = true;
  for (const char* key : {"min", "max", "mu", "sigma", "q"}) {
    const YamlEntry* entry = map.Find(key);
    if (entry == nullptr || std::find(own.begin(), own.end(), key) != own.end()) continue;
    mistakes->Add(entry->key_location, absl::StrCat(what, ": distribution ", form->name, " has no '", key,
                                                    "' (expected ", absl::StrJoin(own, ", "), ")"));
    valid = false;
  }
  if (HasBounds(form->kind)) valid = ReadBounds(map, *form, what, &distribution, mistakes) && valid;
  valid = ReadShape(map, what, &distribution, mistakes) && valid;
  if (form->has_quantum) {
    distribution.quantum = 1.0;
    if (const YamlEntry* quantum = map.Find("q")) {
      distribution.quantum = ReadNumber(*quantum->value, absl::StrCat(what, ".q"), mistakes);
      if (distribution.quantum && *distribution.quantum <= 0) {
        mistakes->Add(quantum->value->location, absl::StrCat(what, ".q: expected a number above 0"));
        valid = false;
      }
      valid = valid && distribution.quantum.has_value();
    }
  }
  if (!valid) return std::nullopt;
  return distribution;
}

std::optional<int64_t> GridLength(const Distribution& distribution) {
  if (distribution.kind == Kind::kIntegerUniform)
    return distribution.integer_maximum - distribution.integer_minimum + 1;
  if (distribution.kind != Kind::kUniform || !distribution.quantum) return std::nullopt;
  const double length = std::ceil((distribution.maximum - distribution.minimum) / *distribution.quantum);
  constexpr double kMost = 9.2e18;
  return length < kMost ? static_cast<int64_t>(length) : std::numeric_limits<int64_t>::max();
}

Json GridValue(const Distribution& distribution, int64_t index) {
  if (distribution.kind == Kind::kIntegerUniform) return distribution.integer_minimum + index;
  return JsonNumber(RoundToDigits(distribution.minimum + static_cast<double>(index) * *distribution.quantum, 12));
}

Json DrawValue(const Distribution& distribution, uint64_t random_seed, const std::string& name, int64_t index) {
  PhiloxStream stream = StreamAt(random_seed, name, index);
  if (distribution.kind == Kind::kIntegerUniform) {
    const uint64_t count = static_cast<uint64_t>(distribution.integer_maximum - distribution.integer_minimum) + 1;
    return distribution.integer_minimum + static_cast<int64_t>(stream.NextBelow(count));
  }
  const bool has_bounds = HasBounds(distribution.kind);
  double value = has_bounds
                     ? distribution.minimum + (distribution.maximum - distribution.minimum) * stream.NextUniform()
                     : distribution.mu + distribution.sigma * stream.NextNormal();
  double low = distribution.minimum;
  double high = distribution.maximum;
  if (distribution.kind == Kind::kInverseLogUniform) {
    value = -value;
    std::swap(low, high);
    low = -low;
    high = -high;
  }
  if (distribution.kind != Kind::kUniform && distribution.kind != Kind::kNormal) {
    value = std::exp(value);
    low = std::exp(low);
    high = std::exp(high);
  }
  if (distribution.quantum) return JsonNumber(Multiple(value, *distribution.quantum));
  value = RoundToDigits(value, 9);
  // Rounding may cross a bound that has more digits, and exp(log(bound)) may miss the bound by its last bit.
  if (has_bounds) value = std::clamp(value, RoundToDigits(low, 15), RoundToDigits(high, 15));
  return JsonNumber(value);
}

size_t DrawIndex(const std::vector<double>& weights, uint64_t random_seed, const std::string& name, int64_t index) {
  double total = 0;
  for (const double weight : weights) total += weight;
  double left = StreamAt(random_seed, name, index).NextUniform() * total;
  size_t last_possible = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] <= 0) continue;
    if (left < weights[i]) return i;
    left -= weights[i];
    last_possible = i;
  }
  return last_possible;
}

size_t DrawIndex(size_t count, uint64_t random_seed, const std::string& name, int64_t index) {
  return static_cast<size_t>(StreamAt(random_seed, name, index).NextBelow(count));
}

}  // namespace seedbed::sweep_file
