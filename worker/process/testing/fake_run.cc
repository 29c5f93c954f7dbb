#include "worker/process/testing/fake_run.h"

#include <fcntl.h>
#include <openssl/sha.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/base/philox.h"
#include "common/base/status_macros.h"
#include "worker/process/unique_fd.h"

namespace seedbed::testing {
namespace {

constexpr double kTrainWidth = 10;
constexpr double kTestWidth = 20;

double Sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

// FNV-1a, 64 bits.
uint64_t HashOf(const std::string& text) {
  uint64_t hash = 14695981039346656037ULL;
  for (const char character : text) hash = (hash ^ static_cast<unsigned char>(character)) * 1099511628211ULL;
  return hash;
}

std::string HexOf(const unsigned char* bytes, size_t count) {
  std::string hex;
  for (size_t i = 0; i < count; ++i) {
    hex += "0123456789abcdef"[bytes[i] >> 4];
    hex += "0123456789abcdef"[bytes[i] & 15];
  }
  return hex;
}

}  // namespace

absl::StatusOr<FakeRun> FakeRun::FromStart(const Json& message) {
  FakeRun run;
  try {
    const Json& specification = message.at("specification");
    run.id_ = message.at("run").get<int64_t>();
    run.seed_ = specification.at("seed").get<int64_t>();
    run.budget_ = specification.at("budget").at("steps").get<int64_t>();
    run.log_every_ = specification.at("metrics").at("log_every").get<int64_t>();
    run.evaluate_every_ = specification.at("metrics").at("evaluate_every").get<int64_t>();
    run.final_checkpoint_ = message.value("final_checkpoint", false);
    run.directory_ = message.at("directory").get<std::string>();
    PhiloxStream random(static_cast<uint64_t>(run.seed_), HashOf(CanonicalJson(specification.at("parameters"))));
    run.train_middle_ = 100 + 100 * random.NextUniform();
    run.test_middle_ = 300 + 700 * random.NextUniform();
    if (!message.at("resume").is_null()) {
      std::ifstream file(message.at("resume").get<std::string>());
      const Json checkpoint = Json::parse(file, nullptr, /*allow_exceptions=*/false);
      if (!checkpoint.is_object()) return absl::InvalidArgumentError("checkpoint that the fake engine cannot read");
      run.step_ = checkpoint.at("step").get<int64_t>() + 1;
    }
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("a start that the fake engine cannot read: ", error.what()));
  }
  return run;
}

bool FakeRun::HasRow() const {
  return step_ % log_every_ == 0 || evaluates();
}

Json FakeRun::MetricsMessage() const {
  const double step = static_cast<double>(step_);
  const double train = Sigmoid((step - train_middle_) / kTrainWidth);
  const double test = Sigmoid((step - test_middle_) / kTestWidth);
  Json values = {{"train_loss", {-std::log(train + 1e-12)}},
                 {"train_accuracy", {train}},
                 {"gradient_norm", {train * (1 - train)}}};
  const auto add = [&](const char* name, double value) {
    values[name] = Json::array({evaluates() ? Json(value) : Json(nullptr)});
  };
  add("test_loss", -std::log(test + 1e-12));
  add("test_accuracy", test);
  add("test_accuracy_unseen", test);
  add("test_accuracy_mirrored", 0.2 + 0.8 * test);
  add("parameter_rms", 0.372 * std::exp(-step / 2000));
  return {{"type", "metrics"}, {"run", id_}, {"steps", {step_}}, {"values", values}};
}

std::optional<int64_t> FakeRun::FirstAtLeast(double middle, double width, double accuracy) const {
  const auto step = static_cast<int64_t>(std::ceil(middle + width * std::log(accuracy / (1 - accuracy))));
  return step <= budget_ ? std::optional<int64_t>(step) : std::nullopt;
}

Json FakeRun::FinishedMessage() const {
  const double last = static_cast<double>(budget_);
  Json summary = {{"final_train_accuracy", Sigmoid((last - train_middle_) / kTrainWidth)},
                  {"final_test_accuracy", Sigmoid((last - test_middle_) / kTestWidth)},
                  {"final_train_loss", -std::log(Sigmoid((last - train_middle_) / kTrainWidth) + 1e-12)},
                  {"final_test_loss", -std::log(Sigmoid((last - test_middle_) / kTestWidth) + 1e-12)},
                  {"first_nonfinite_step", nullptr},
                  {"collapsed", false},
                  {"delay", nullptr},
                  {"wall_seconds", 0.0},
                  {"cpu_seconds", 0.0}};
  for (const int percent : {50, 90, 95, 99}) {
    const std::optional<int64_t> train = FirstAtLeast(train_middle_, kTrainWidth, percent / 100.0);
    std::optional<int64_t> test = FirstAtLeast(test_middle_, kTestWidth, percent / 100.0);
    // Seen at an evaluation only.
    if (test) test = std::min(budget_, (*test + evaluate_every_ - 1) / evaluate_every_ * evaluate_every_);
    summary[absl::StrCat("t_train_", percent)] = train ? Json(*train) : Json(nullptr);
    summary[absl::StrCat("t_test_", percent)] = test ? Json(*test) : Json(nullptr);
    if (percent == 99 && train && test) summary["delay"] = *test - *train;
  }
  const bool memorised = !summary["t_train_99"].is_null();
  const char* outcome = memorised ? "memorised" : "not_memorised";
  if (!summary["t_test_99"].is_null()) outcome = "grokked";
  return {{"type", "finished"}, {"run", id_},           {"outcome", outcome},
          {"reason", "budget"}, {"last_step", budget_}, {"summary", summary}};
}

absl::StatusOr<Json> FakeRun::WriteCheckpoint() const {
  const std::string text = Json{{"step", step_ - 1}}.dump();
  const std::string path = absl::StrCat(directory_, "/checkpoint-", step_ - 1, ".json");
  UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file || write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      fsync(file.get()) != 0) {
    return absl::InternalError(absl::StrCat("writing ", path));
  }
  unsigned char sum[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), sum);
  return Json{
      {"type", "checkpoint"}, {"run", id_}, {"step", step_ - 1}, {"path", path}, {"sha256", HexOf(sum, sizeof sum)}};
}

}  // namespace seedbed::testing
