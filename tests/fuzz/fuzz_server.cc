// Every call of both services, as bytes, against a whole coordinator: each is answered, none with a code for a bug of
// ours, and the coordinator goes on. Its state lives for as long as the process, so an input alone may not repeat what
// it did among others.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/sweep_file/sweep.h"
#include "coordinator/coordinator.h"
#include "coordinator/rpc/server.h"
#include "seedbed/v1/sweep_service.pb.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/messages.h"

namespace seedbed::fuzz {
namespace {

// Held calls and followed logs end by it.
constexpr std::chrono::milliseconds kPatience(60);
constexpr int64_t kMostRuns = 200;  // of one sweep: fuzzing is not a load test

class World {
 public:
  static World& Get() {
    static World& world = *new World();
    return world;
  }

  // Sends one request, reads all answers.
  grpc::Status Answer(const Call& call) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    grpc::CompletionQueue queue;
    const auto stream = stub_->PrepareCall(&context, "/seedbed.v1." + call.method, &queue);
    stream->StartCall(this);
    bool ok = Wait(&queue);
    const grpc::Slice slice(call.request);
    const grpc::ByteBuffer request(&slice, 1);
    if (ok) {
      stream->Write(request, this);
      ok = Wait(&queue);
    }
    if (ok) {
      stream->WritesDone(this);
      ok = Wait(&queue);
    }
    while (ok) {
      grpc::ByteBuffer answer;
      stream->Read(&answer, this);
      ok = Wait(&queue);
    }
    grpc::Status status;
    stream->Finish(&status, this);
    Wait(&queue);
    queue.Shutdown();
    void* tag = nullptr;
    while (queue.Next(&tag, &ok)) {
    }
    return status;
  }

 private:
  World() {
    std::string pattern = (std::filesystem::temp_directory_path() / "seedbed-fuzz-XXXXXX").string();
    Require(mkdtemp(pattern.data()) != nullptr, "a temporary directory");
    directory_ = pattern;
    CoordinatorOptions options;
    options.directory = directory_ + "/data";
    options.synchronous = StoreOptions::Synchronous::kOff;
    options.loop.metric_delay = absl::Milliseconds(1);
    options.free_bytes = [] { return absl::StatusOr<int64_t>(int64_t{1} << 40); };
    options.settings.most_runs_of_sweep = kMostRuns;
    options.loop.after_batch = [](const core::State& state, Store& store) {
      const absl::Status holds = state.CheckInvariants();
      Require(holds.ok(), holds.ToString());
      // What is accepted is loaded again at the next start.
      const absl::StatusOr<core::State> loaded = store.Load(state.settings(), absl::ZeroDuration());
      Require(loaded.ok(), loaded.status().ToString());
      std::string difference;
      Require(state.DurablyEquals(*loaded, &difference), difference);
    };
    auto coordinator = Coordinator::Open(std::move(options));
    Require(coordinator.ok(), "a coordinator: " + coordinator.status().ToString());
    coordinator_ = *std::move(coordinator);
    auto server = Server::Start({}, coordinator_.get());
    Require(server.ok(), "a server: " + server.status().ToString());
    server_ = *std::move(server);
    stub_ = std::make_unique<grpc::GenericStub>(server_->InProcessChannel());
    // gRPC's threads do not outlive static objects gladly; the end of the process is the end of all.
    std::atexit([] {
      std::error_code ignored;
      std::filesystem::remove_all(Get().directory_, ignored);
      std::fflush(nullptr);
      _exit(0);
    });
  }

  static bool Wait(grpc::CompletionQueue* queue) {
    void* tag = nullptr;
    bool ok = false;
    return queue->Next(&tag, &ok) && ok;
  }

  std::string directory_;
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<grpc::GenericStub> stub_;
};

bool IsTooMuch(const Call& call) {
  if (call.method != "SweepService/SubmitSweep") return false;
  v1::SubmitSweepRequest request;
  if (!request.ParseFromString(call.request)) return false;
  SweepLimits limits;
  limits.most_runs = kMostRuns;
  limits.most_configurations = kMostRuns;
  return absl::IsResourceExhausted(
      ParseSweep(request.text(), "fuzz.yaml", {request.overrides().begin(), request.overrides().end()}, limits)
          .status());
}

bool IsFair(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::OK:
    case grpc::StatusCode::CANCELLED:  // the patience of this program
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::NOT_FOUND:
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::PERMISSION_DENIED:  // a query that would change something
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
    case grpc::StatusCode::DATA_LOSS:  // a checkpoint that did not arrive whole
      return true;
    default:
      return false;
  }
}

}  // namespace
}  // namespace seedbed::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace seedbed::fuzz;  // NOLINT: the entry point has to be global
  for (const Call& call : CallsOf(data, size)) {
    if (IsTooMuch(call)) continue;
    const grpc::Status status = World::Get().Answer(call);
    // gRPC itself answers so, before any code of ours, to bytes that are no message.
    if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED && !Parses(call)) continue;
    Require(IsFair(status.error_code()),
            absl::StrCat(call.method, " is answered with code ", static_cast<int>(status.error_code()), ": ",
                         status.error_message()));
    Require(status.ok() || !status.error_message().empty(), call.method + " is refused without a word");
  }
  return 0;
}
