#include "bench/coordinator/figures.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace seedbed::bench {
namespace {

using Json = nlohmann::ordered_json;

std::string Shown(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_number_float()) return value.dump();
  const double number = value.get<double>();
  return std::abs(number) >= 100 ? absl::StrFormat("%.0f", number) : absl::StrFormat("%.3g", number);
}

}  // namespace

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

absl::StatusOr<ProcessFigures> FiguresOf(pid_t process) {
  ProcessFigures figures;
  std::ifstream status(absl::StrCat("/proc/", process, "/status"));
  if (!status) return absl::NotFoundError(absl::StrCat("there is no process ", process));
  for (std::string line; std::getline(status, line);) {
    std::istringstream words(line);
    std::string key;
    int64_t number = 0;
    words >> key >> number;
    if (key == "VmRSS:") figures.resident_bytes = number << 10;
    if (key == "VmHWM:") figures.peak_resident_bytes = number << 10;
    if (key == "Threads:") figures.threads = static_cast<int>(number);
  }
  std::ifstream stat(absl::StrCat("/proc/", process, "/stat"));
  std::string line;
  std::getline(stat, line);
  // The name in parentheses may hold spaces; the fields after it count from the third.
  const size_t end_of_name = line.rfind(')');
  if (end_of_name == std::string::npos) return absl::InternalError(absl::StrCat("/proc/", process, "/stat: ", line));
  std::istringstream fields(line.substr(end_of_name + 1));
  std::string field;
  int64_t ticks = 0;
  for (int number = 3; number <= 15 && fields >> field; ++number) {
    if (number >= 14) ticks += std::atoll(field.c_str());  // utime, stime
  }
  figures.cpu_seconds = static_cast<double>(ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
  return figures;
}

double FsyncSeconds(const std::string& directory) {
  constexpr int kTimes = 101;
  const std::string path = directory + "/fsync_probe";
  const int descriptor = open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  const std::string page(4096, 'x');
  std::vector<double> times;
  for (int i = 0; i < kTimes; ++i) {
    const double start = Seconds();
    if (write(descriptor, page.data(), page.size()) < 0 || fsync(descriptor) != 0) {
      Check(absl::UnavailableError(path), "time fsync");
    }
    times.push_back(Seconds() - start);
  }
  close(descriptor);
  unlink(path.c_str());
  return Percentile(std::move(times), 0.5);
}

double Percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  const double rank = std::ceil(share * static_cast<double>(values.size()));
  const size_t index = static_cast<size_t>(std::max(0.0, rank - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(index), values.end());
  return values[index];
}

Report::Report(std::string title, std::vector<std::string> columns)
    : title_(std::move(title)), columns_(std::move(columns)) {}

void Report::AddFact(const std::string& name, Json value) {
  facts_.emplace_back(name, std::move(value));
}

void Report::AddRow(std::vector<Json> cells) {
  rows_.push_back(std::move(cells));
}

void Report::Print(bool json) const {
  if (json) {
    Json object{{"benchmark", title_}};
    for (const auto& [name, value] : facts_) object[name] = value;
    object["rows"] = Json::array();
    for (const auto& cells : rows_) {
      Json row = Json::object();
      for (size_t i = 0; i < columns_.size(); ++i) row[columns_[i]] = cells[i];
      object["rows"].push_back(std::move(row));
    }
    std::puts(object.dump(2).c_str());
    return;
  }
  std::puts(title_.c_str());
  for (const auto& [name, value] : facts_) absl::PrintF("  %s: %s\n", name, Shown(value));
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    size_t width = columns_[i].size();
    for (const auto& cells : rows_) width = std::max(width, Shown(cells[i]).size());
    widths.push_back(width);
  }
  const auto print = [&](const auto& text_of) {
    for (size_t i = 0; i < columns_.size(); ++i) {
      absl::PrintF("%s%*s", i == 0 ? "" : " | ", static_cast<int>(widths[i]), text_of(i));
    }
    std::puts("");
  };
  print([&](size_t i) { return columns_[i]; });
  for (const auto& cells : rows_) print([&](size_t i) { return Shown(cells[i]); });
  std::fflush(stdout);
}

void Check(const absl::Status& status, const std::string& what) {
  if (status.ok()) return;
  absl::FPrintF(stderr, "cannot %s: %s\n", what, status.ToString());
  // Not exit: gRPC's threads may still run, and what was started ends with this process.
  std::fflush(nullptr);
  _exit(1);
}

ScratchDirectory::ScratchDirectory(const std::string& parent, bool keep) : keep_(keep) {
  const char* temporary = std::getenv("TMPDIR");
  std::string base = parent;
  if (base.empty()) base = temporary != nullptr && *temporary != '\0' ? temporary : "/tmp";
  path_ = base + "/seedbed-bench-XXXXXX";
  if (mkdtemp(path_.data()) == nullptr) Check(absl::UnavailableError(path_), "make a directory");
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  if (!keep_) std::filesystem::remove_all(path_, ignored);
}

}  // namespace seedbed::bench
