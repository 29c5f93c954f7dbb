#include "worker/engine/schedule.h"

#include <cmath>

namespace seedbed::engine {
namespace {

// From 0 to 1 over `length` updates.
double Progress(int64_t updates, int64_t length) {
  return updates >= length ? 1 : static_cast<double>(updates) / static_cast<double>(length);
}

}  // namespace

double ScheduleFactor(const OptimizerParameters& optimizer, int64_t updates) {
  if (optimizer.schedule == Schedule::kConstant) return 1;
  if (updates < optimizer.warmup_steps) return Progress(updates + 1, optimizer.warmup_steps);
  if (optimizer.schedule == Schedule::kWarmup) return 1;
  const double progress = Progress(updates - optimizer.warmup_steps, optimizer.schedule_steps);
  const double wave = (1 + std::cos(progress * std::acos(-1.0))) / 2;
  return optimizer.final_factor + (1 - optimizer.final_factor) * wave;
}

double LearningRateAt(const OptimizerParameters& optimizer, int64_t updates) {
  return optimizer.learning_rate * ScheduleFactor(optimizer, updates);
}

std::optional<double> EffectiveDecay(const OptimizerParameters& optimizer, int64_t updates) {
  if (optimizer.kind == OptimizerKind::kAdam) return std::nullopt;
  const double decay = LearningRateAt(optimizer, updates) * optimizer.weight_decay;
  return optimizer.kind == OptimizerKind::kSgd ? decay / (1 - optimizer.momentum) : decay;
}

}  // namespace seedbed::engine
