#include "bench/coordinator/fleet.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"

namespace seedbed::bench {
namespace {

constexpr int kRowsPerReport = 5;

}  // namespace

Fleet::Fleet(const CoordinatorProcess& coordinator, int workers, int slots, double period_seconds)
    : period_(period_seconds), members_(static_cast<size_t>(workers)) {
  for (size_t i = 0; i < members_.size(); ++i) {
    members_[i].holder = std::make_unique<LeaseHolder>(coordinator, absl::StrCat("worker-", i), slots);
  }
  thread_ = std::thread([this] { Work(); });
}

Fleet::~Fleet() {
  Quit();
  for (Member& member : members_) member.stream.reset();
}

void Fleet::Quit() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
  for (Member& member : members_) member.holder->Quit();
}

void Fleet::Work() {
  const double start = Seconds();
  const double gap = period_ / static_cast<double>(members_.size());
  for (int64_t turn = 0; !stopping_; ++turn) {
    const double due = start + static_cast<double>(turn) * gap;
    const double early = due - Seconds();
    if (early > 0) std::this_thread::sleep_for(std::chrono::duration<double>(early));
    Member& member = members_[static_cast<size_t>(turn) % members_.size()];
    if (member.dead) continue;
    member.holder->Synchronize(nullptr);
    if (reports_on_) SendReports(&member);
  }
}

void Fleet::SendReports(Member* member) {
  if (member->stream == nullptr) {
    member->stream =
        std::make_unique<ReportStream>(&member->holder->connection(), [](const v1::ReportResponse& response) {
          if (response.verdict() == v1::ReportResponse::VERDICT_ACKNOWLEDGED) return;
          Check(absl::InternalError(absl::StrCat("refused: ", response.reason())), "report rows");
        });
  }
  const int64_t sequence = ++member->sequence;
  for (const v1::LeaseKey& lease : member->holder->leases()) {
    v1::ReportRequest report;
    report.set_worker_id(member->holder->id());
    *report.mutable_lease() = lease;
    report.set_sequence(sequence);
    for (const char* metric : {"train_loss", "train_accuracy", "test_loss", "test_accuracy"}) {
      v1::MetricSeries* series = report.mutable_rows()->add_series();
      series->set_metric(metric);
      for (int row = 0; row < kRowsPerReport; ++row) series->add_values(1.0 / static_cast<double>(sequence + row + 1));
    }
    for (int row = 0; row < kRowsPerReport; ++row) {
      report.mutable_rows()->add_steps((sequence - 1) * kRowsPerReport + row);
    }
    member->stream->Send(std::move(report));
  }
}

int64_t Fleet::held() const {
  int64_t held = 0;
  for (const Member& member : members_) held += static_cast<int64_t>(member.holder->leases().size());
  return held;
}

std::vector<double> Fleet::TakeLatencies() {
  std::vector<double> all;
  for (const Member& member : members_) {
    const std::vector<double> some = member.holder->TakeLatencies();
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

LeaseHolder& Fleet::Kill(int worker) {
  Member& member = members_[static_cast<size_t>(worker)];
  member.dead = true;
  member.holder->Quit();
  return *member.holder;
}

}  // namespace seedbed::bench
