#include "worker/engine/stacked_pack.h"

#include <algorithm>
#include <cstddef>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

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
  std::vector<double> GradientNorms() override {
    pack_->Backward(replica_);
    return {learner().GradientNorms()[Index()]};
  }
  std::vector<double> ParameterRms() override {
    pack_->SettleFor(replica_);
    return {learner().ParameterRms()[Index()]};
  }
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
    pack_->measures_.clear();
    return learner().Restore(replica_, state);
  }

 private:
  StackedLearner& learner() const { return *pack_->learner_; }
  size_t Index() const { return static_cast<size_t>(replica_); }

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
  measures_.clear();
  learner_->Refill(replica, settings);
  *place = true;
  return std::unique_ptr<Learner>(new Place(shared_from_this(), replica));
}

const TrainMeasure& StackedPack::Forward(int replica) {
  SettleFor(replica);
  if (measures_.empty()) {
    measures_ = learner_->Forward();
    has_gradient_ = false;
  }
  return measures_[static_cast<size_t>(replica)];
}

void StackedPack::Backward(int replica) {
  Forward(replica);
  if (has_gradient_) return;
  learner_->Backward();
  has_gradient_ = true;
}

void StackedPack::SettleFor(int replica) {
  if (wants_update_[static_cast<size_t>(replica)]) Settle();
}

void StackedPack::Settle() {
  const auto first = std::find(wants_update_.begin(), wants_update_.end(), true);
  if (first == wants_update_.end()) return;
  const std::vector<bool> which = std::exchange(wants_update_, std::vector<bool>(wants_update_.size(), false));
  Backward(static_cast<int>(first - wants_update_.begin()));  // again, if a replica was changed since the last one
  learner_->UpdateSome(which);
  measures_.clear();
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
    return std::make_tuple(run.loss, run.batch_size, run.precision, run.matmul_precision, o.kind, o.nesterov,
                           o.grokfast_lambda, o.perpendicular_gradient);
  };
  return task(a) == task(b) && model(a) == model(b) && training(a) == training(b);
}

LearnerFactory StackedPackFactory(int capacity, const std::string& device) {
  struct Shared {
    std::shared_ptr<StackedPack> pack;
    RunParameters shape;
  };
  const auto shared = std::make_shared<Shared>();
  return [=](const RunParameters& run, uint64_t seed) -> absl::StatusOr<std::unique_ptr<Learner>> {
    ReplicaSettings settings;
    settings.seed = seed;
    settings.init_scale = run.model.init_scale;
    settings.optimizer = run.optimizer;
    if (shared->pack != nullptr && !CanShareAPack(run, shared->shape)) {
      if (!shared->pack->is_empty()) {
        return absl::FailedPreconditionError(
            "this run is of another shape than those of the pack that is being trained: runs of one pack may differ in "
            "their seeds and in the pack_parameters of `ready` alone");
      }
      shared->pack.reset();  // first: its memory is free again
    }
    if (shared->pack == nullptr) {
      SEEDBED_ASSIGN_OR_RETURN(std::unique_ptr<StackedLearner> learner,
                               MakeStackedLearner(run, std::vector<ReplicaSettings>(capacity, settings), device));
      shared->pack = StackedPack::Create(std::move(learner));
      shared->shape = run;
    }
    return shared->pack->Take(settings);
  };
}

}  // namespace seedbed::engine
