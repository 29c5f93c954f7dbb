#pragma once

#include <httplib.h>

#include <atomic>

#include "absl/status/statusor.h"
#include "common/base/json.h"
#include "coordinator/coordinator.h"
#include "coordinator/web/limits.h"

namespace seedbed {

// /api/v1: what the dashboard shows, and what programs without gRPC may ask. docs/dashboard.md lists the routes.
// Handlers convert, call and convert; all of them only read, and block while they do. Thread-safe.
class Api {
 public:
  // The coordinator outlives this.
  Api(Coordinator* coordinator, const WebLimits& limits) : coordinator_(coordinator), limits_(limits) {}

  // The answer to GET /api/v1/`route`. NOT_FOUND for a route that there is none of; INVALID_ARGUMENT for a parameter
  // that is none.
  absl::StatusOr<Json> Get(const std::string& route, const httplib::Params& parameters);

 private:
  absl::StatusOr<SweepRow> FindSweep(const std::string& selector);
  absl::StatusOr<Json> Server() const;
  absl::StatusOr<Json> Sweeps();
  absl::StatusOr<Json> Sweep(const std::string& selector);
  absl::StatusOr<Json> Configurations(const std::string& selector, const httplib::Params& parameters);
  absl::StatusOr<Json> Runs(const httplib::Params& parameters);
  absl::StatusOr<Json> Run(RunId run);
  absl::StatusOr<Json> Curve(RunId run, const httplib::Params& parameters);
  absl::StatusOr<Json> Workers(const httplib::Params& parameters);
  absl::StatusOr<Json> Query(const httplib::Params& parameters);
  void AddLiveFacts(Json* runs);
  Json SweepView(const SweepRow& row);

  Coordinator* const coordinator_;
  const WebLimits limits_;
  std::atomic<int> queries_{0};  // under way
};

}  // namespace seedbed
