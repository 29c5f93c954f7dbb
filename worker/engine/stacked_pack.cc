#include "worker/engine/stacked_pack.h"

#include <algorithm>
#include <cstddef>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/engine/gpu.h"

namespace seedbed::engine {

// One replica as a learner of its own. It keeps the pack alive.
class StackedPack::Place final : public Learner {
 public:
  Place(std::shared_ptr<StackedPack> pack, int replica) : pack_(std::move(pack)), replica_(replica) {}
  ~Place() override {
    pack_->wants_update_[static_cast<size_t>(replica_)] = false;
    pack_->is_taken_[static_cast<size_t>(replica_)] = false;
  }

  int replicas() const override { return 1; }
  const ModelLayout& layout() const override { return learner().layout(); }
  bool full_batch() const override { return learner().full_batch(); }
  std::vector<TrainMeasure> Forward() override { return {pack_->Forward(replica_)}; }
  void Backward() override { pack_->Backward(replica_); }
  void Update() override { pack_->WantUpdate(replica_); }
  std::vector<TrainMeasure> MeasureTraining() override {
    pack_->SettleFor(replica_);
    return {learner().MeasureTrainingOne(replica_)};
  }
  std::vector<TestMeasure> Evaluate() override {
    pack_->SettleFor(replica_);
    return {learner().EvaluateOne(replica_)};
  }
  std::vector<double> Logits(int, const std::vector<Example>& examples) override {
    pack_->SettleFor(replica_);
    return learner().Logits(replica_, examples);
  }
  std::vector<double> GradientNorms() override { return {pack_->GradientNorm(replica_)}; }
  std::vector<double> ParameterRms() override { return {pack_->ParameterRms(replica_)}; }
  std::vector<double> Parameters(int) const override {
    pack_->SettleFor(replica_);
    return learner().Parameters(replica_);
  }
  std::vector<double> Gradient(int) const override {
    pack_->Backward(replica_);
    return learner().Gradient(replica_);
  }
  LearnerState State(int) const override {
    pack_->SettleFor(replica_);
    return learner().State(replica_);
  }
  absl::Status Restore(int, const LearnerState& state) override {
    pack_->Settle();
    pack_->NoteChange();
    return learner().Restore(replica_, state);
  }

 private:
  StackedLearner& learner() const { return *pack_->learner_; }

  const std::shared_ptr<StackedPack> pack_;
  const int replica_;
};

std::shared_ptr<StackedPack> StackedPack::Create(std::unique_ptr<StackedLearner> learner) {
  return std::shared_ptr<StackedPack>(new StackedPack(std::move(learner)));
}

StackedPack::StackedPack(std::unique_ptr<StackedLearner> learner)
    : learner_(std::move(learner)),
      is_taken_(static_cast<size_t>(learner_->replicas()), false),
      wants_update_(is_taken_) {}

bool StackedPack::is_empty() const {
  return std::find(is_taken_.begin(), is_taken_.end(), true) == is_taken_.end();
}

absl::StatusOr<std::unique_ptr<Learner>> StackedPack::Take(const ReplicaSettings& settings) {
  const auto place = std::find(is_taken_.begin(), is_taken_.end(), false);
  if (place == is_taken_.end()) return absl::ResourceExhaustedError("the pack has no free place");
  const auto replica = static_cast<int>(place - is_taken_.begin());
  Settle();
  NoteChange();
  ForAll([&] { learner_->Refill(replica, settings); });
  *place = true;
  return std::unique_ptr<Learner>(new Place(shared_from_this(), replica));
}

template <typename F>
void StackedPack::ForAll(F f) {
  if (broken_ != nullptr) std::rethrow_exception(broken_);
  try {
    f();
  } catch (...) {
    broken_ = std::current_exception();
    throw;
  }
}

void StackedPack::NoteChange() {
  measures_.clear();
  gradient_norms_.clear();
  parameter_rms_.clear();
  has_gradient_ = false;
}

const TrainMeasure& StackedPack::Forward(int replica) {
  SettleFor(replica);
  if (measures_.empty()) {
    ForAll([&] { measures_ = learner_->Forward(); });
  }
  return measures_[static_cast<size_t>(replica)];
}

void StackedPack::Backward(int replica) {
  Forward(replica);
  if (has_gradient_) return;
  ForAll([&] { learner_->Backward(); });
  has_gradient_ = true;
}

double StackedPack::GradientNorm(int replica) {
  Backward(replica);
  if (gradient_norms_.empty()) {
    ForAll([&] { gradient_norms_ = learner_->GradientNorms(); });
  }
  return gradient_norms_[static_cast<size_t>(replica)];
}

double StackedPack::ParameterRms(int replica) {
  SettleFor(replica);
  if (parameter_rms_.empty()) {
    ForAll([&] { parameter_rms_ = learner_->ParameterRms(); });
  }
  return parameter_rms_[static_cast<size_t>(replica)];
}

void StackedPack::SettleFor(int replica) {
  if (wants_update_[static_cast<size_t>(replica)]) Settle();
}

void StackedPack::Settle() {
  const auto first = std::find(wants_update_.begin(), wants_update_.end(), true);
  if (first == wants_update_.end()) return;
  const auto replica = static_cast<int>(first - wants_update_.begin());
  const std::vector<bool> which = std::exchange(wants_update_, std::vector<bool>(wants_update_.size(), false));
  Backward(replica);  // again, if a replica was changed since the last one
  ForAll([&] { learner_->UpdateSome(which); });
  NoteChange();
}

bool CanShareAPack(const RunParameters& a, const RunParameters& b) {
  const auto task = [](const RunParameters& run) {
    const TaskParameters& t = run.task;
    return std::make_tuple(t.operation, t.modulus, t.train_fraction, t.split_seed, t.unordered, t.label_noise);
  };
  const auto model = [](const RunParameters& run) {
    const ModelParameters& m = run.model;
    return std::make_tuple(m.kind, m.depth, m.width, m.activation, m.inner_width, m.layer_norm, m.final_norm, m.heads,
                           m.feed_forward, m.equals_token, m.causal, m.norm, m.readout, m.position_scale);
  };
  const auto training = [](const RunParameters& run) {
    const OptimizerParameters& o = run.optimizer;
    return std::make_tuple(run.loss, run.batch_size, run.precision, run.matmul_precision, run.reference, o.kind,
                           o.nesterov, o.grokfast_lambda, o.perpendicular_gradient);
  };
  return task(a) == task(b) && model(a) == model(b) && training(a) == training(b);
}

StackedPlaces::StackedPlaces(std::string device, int capacity)
    : StackedPlaces(std::move(device), capacity, capacity, nullptr) {}

StackedPlaces::StackedPlaces(std::string device, int capacity, int most, Meter meter)
    : device_(std::move(device)), capacity_(capacity), most_(most), meter_(std::move(meter)) {}

absl::StatusOr<std::unique_ptr<Learner>> StackedPlaces::Take(const RunParameters& run, uint64_t seed) {
  ReplicaSettings settings;
  settings.seed = seed;
  settings.init_scale = run.model.init_scale;
  settings.optimizer = run.optimizer;
  if (pack_ != nullptr && (pack_->is_broken() || !CanShareAPack(run, shape_))) {
    if (!pack_->is_empty()) {
      return absl::FailedPreconditionError(
          pack_->is_broken()
              ? "the pack has failed, and its other runs are about to end by it"
              : "this run is of another shape than those of the pack that is being trained: runs of one pack may "
                "differ in their seeds and in the pack_parameters of `ready` alone");
    }
    pack_.reset();  // first: its memory is free again
  }
  if (pack_ == nullptr) SEEDBED_RETURN_IF_ERROR(MakePack(run, settings));
  return pack_->Take(settings);
}

absl::Status StackedPlaces::MakePack(const RunParameters& run, const ReplicaSettings& settings) {
  if (meter_ != nullptr) {
    SEEDBED_ASSIGN_OR_RETURN(const int measured, meter_(run));
    SetCapacity(std::min(measured, most_));
  }
  const std::vector<ReplicaSettings> replicas(static_cast<size_t>(capacity_), settings);
  SEEDBED_ASSIGN_OR_RETURN(std::unique_ptr<StackedLearner> learner, MakeStackedLearner(run, replicas, device_));
  pack_ = StackedPack::Create(std::move(learner));
  shape_ = run;
  return absl::OkStatus();
}

bool StackedPlaces::Shrink() {
  pack_.reset();
  if (capacity_ == 1) return false;
  most_ = capacity_ / 2;
  SetCapacity(most_);
  return true;
}

void StackedPlaces::SetCapacity(int capacity) {
  if (capacity == capacity_) return;
  capacity_ = capacity;
  if (on_change_ != nullptr) on_change_(capacity);
}

absl::StatusOr<int> MeasuredCapacity(int64_t free_bytes, int most,
                                     const std::function<absl::StatusOr<int64_t>(int replicas)>& peak_bytes) {
  constexpr double kUsableShare = 0.8;
  SEEDBED_ASSIGN_OR_RETURN(const int64_t of_two, peak_bytes(2));
  SEEDBED_ASSIGN_OR_RETURN(const int64_t of_four, peak_bytes(4));
  const double of_one = std::max(1.0, static_cast<double>(of_four - of_two) / 2);
  const double shared = std::max(0.0, static_cast<double>(of_two) - 2 * of_one);
  int capacity = 1;
  while (2 * capacity <= most && shared + 2 * capacity * of_one <= kUsableShare * static_cast<double>(free_bytes)) {
    capacity *= 2;
  }
  return capacity;
}

absl::StatusOr<int> MeasureGpuCapacity(const std::string& device, int most, const RunParameters& run) {
  constexpr int kSteps = 2;
  const int gpu = GpuIndex(device);
  return MeasuredCapacity(FreeGpuBytes(gpu), most, [&](int replicas) -> absl::StatusOr<int64_t> {
    ReplicaSettings settings;
    settings.init_scale = run.model.init_scale;
    settings.optimizer = run.optimizer;
    ResetPeakGpuBytes(gpu);
    SEEDBED_ASSIGN_OR_RETURN(
        const std::unique_ptr<StackedLearner> learner,
        MakeStackedLearner(run, std::vector<ReplicaSettings>(static_cast<size_t>(replicas), settings), device));
    for (int step = 0; step < kSteps; ++step) {
      learner->Forward();
      learner->EvaluateOne(0);
      learner->GradientNorms();
      learner->UpdateSome(std::vector<bool>(static_cast<size_t>(replicas), true));
    }
    return PeakGpuBytes(gpu);
  });
}

}  // namespace seedbed::engine
