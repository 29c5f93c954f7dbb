#pragma once

#include <memory>

#include "worker/engine/learner.h"

// Private to the engine: the hand-written learners that MakeFastLearner chooses from, each a file.
namespace seedbed::engine {

std::unique_ptr<Learner> MakeFastMlp(const Task& task, const ModelParameters& model, Precision precision,
                                     const ReplicaSettings& replica);
std::unique_ptr<Learner> MakeFastResidualMlp(const Task& task, const ModelParameters& model, Precision precision,
                                             const ReplicaSettings& replica);
std::unique_ptr<Learner> MakeFastTransformer(const Task& task, const ModelParameters& model, Precision precision,
                                             const ReplicaSettings& replica);

}  // namespace seedbed::engine
