#pragma once

#include <cstdint>
#include <optional>

#include "worker/engine/run_parameters.h"

// The learning rate of each update, as a pure function of how many updates were made before it: a run that goes on from
// a checkpoint needs nothing but that count.
namespace seedbed::engine {

// The factor on the learning rate of the update that follows `updates` others (the one from row `updates` to the next).
//  constant  1
//  warmup    min(1, (updates + 1) / warmup_steps): the first update has 1/warmup_steps, the warmup_steps-th has 1
//  cosine    the warm-up, then half a cosine of schedule_steps updates from 1 down to final_factor, which stays
// (Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, without the restarts.) A
// length of 0 is no warm-up, and a cosine that has ended.
double ScheduleFactor(const OptimizerParameters& optimizer, int64_t updates);

// learning_rate · ScheduleFactor.
double LearningRateAt(const OptimizerParameters& optimizer, int64_t updates);

// The share by which that update shrinks parameters that have no gradient, once momentum has built up: η·λ/(1 − μ) for
// sgd, η·λ for adamw and muon, with the scheduled η. Nothing for adam, which divides the decay by the gradient's own
// size. What makes λ comparable between optimisers.
std::optional<double> EffectiveDecay(const OptimizerParameters& optimizer, int64_t updates);

}  // namespace seedbed::engine
