// checkpoint: what runs left behind, as a list and as files for Python.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/commands.h"
#include "cli/engine_program.h"
#include "cli/render/table.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"

namespace seedbed::cli {
namespace {

struct CheckpointOptions {
  std::string action;
  int64_t run = 0;
  std::string file;
  std::optional<int64_t> step;
  double timeout = 60;  // seconds
  bool force = false;
};

absl::StatusOr<int> List(Context& context, const CheckpointOptions& options) {
  SEEDBED_ASSIGN_OR_RETURN(Client* const client, context.client());
  SEEDBED_RETURN_IF_ERROR(client->GetRun(options.run).status());  // NOT_FOUND if there is no such run
  v1::QueryRequest request;
  request.set_sql(
      absl::StrCat("SELECT step, attempt, bytes, sha256, path, numerics, "
                   "strftime('%Y-%m-%dT%H:%M:%SZ', created_at / 1e6, 'unixepoch') AS created_at "
                   "FROM checkpoints WHERE run_id = ",
                   options.run, " ORDER BY step"));
  std::vector<v1::Row> rows;
  SEEDBED_RETURN_IF_ERROR(client->Query(request, [&rows](const v1::QueryResponse& response) {
    rows.insert(rows.end(), response.rows().begin(), response.rows().end());
    return true;
  }));
  if (context.options.json) {
    OrderedJson list = OrderedJson::array();
    for (const v1::Row& row : rows) {
      const OrderedJson numerics = OrderedJson::parse(row.values(5).text(), nullptr, /*allow_exceptions=*/false);
      list.push_back({{"step", row.values(0).integer()},
                      {"attempt", row.values(1).integer()},
                      {"bytes", row.values(2).integer()},
                      {"sha256", row.values(3).text()},
                      {"path", row.values(4).text()},
                      {"numerics", numerics.is_discarded() ? OrderedJson() : numerics},
                      {"created_at", row.values(6).text()}});
    }
    context.PrintJson({{"run_id", options.run}, {"checkpoints", std::move(list)}});
    return kExitOk;
  }
  Table table({{"step", Column::Align::kRight, true},
               {"attempt", Column::Align::kRight, true},
               {"bytes", Column::Align::kRight, true},
               {"written", Column::Align::kLeft, true},
               {"file", Column::Align::kLeft, true}});
  for (const v1::Row& row : rows) {
    table.Add({Cell(absl::StrCat(row.values(0).integer())), Cell(absl::StrCat(row.values(1).integer())),
               Cell(absl::StrCat(row.values(2).integer())), Cell(row.values(6).text()), Cell(row.values(4).text())});
  }
  context.Print(table.Render(context.style()));
  return kExitOk;
}

// The newest step of a run's checkpoints; none if it has none.
absl::StatusOr<std::optional<int64_t>> NewestStep(Client& client, int64_t run) {
  v1::QueryRequest request;
  request.set_sql(absl::StrCat("SELECT step FROM checkpoints WHERE run_id = ", run, " ORDER BY step DESC LIMIT 1"));
  std::optional<int64_t> step;
  SEEDBED_RETURN_IF_ERROR(client.Query(request, [&step](const v1::QueryResponse& response) {
    for (const v1::Row& row : response.rows()) step = row.values(0).integer();
    return true;
  }));
  return step;
}

// Asks for a checkpoint of a running run and waits until the coordinator has it.
absl::StatusOr<int> WriteNow(Context& context, const CheckpointOptions& options) {
  SEEDBED_ASSIGN_OR_RETURN(Client* const client, context.client());
  SEEDBED_ASSIGN_OR_RETURN(const std::optional<int64_t> before, NewestStep(*client, options.run));
  v1::ControlSweepRequest request;
  request.add_run_ids(options.run);
  request.mutable_checkpoint();
  SEEDBED_RETURN_IF_ERROR(client->ControlSweep(request).status());
  const absl::Time deadline = absl::Now() + absl::Seconds(options.timeout);
  while (true) {
    SEEDBED_ASSIGN_OR_RETURN(const v1::GetRunResponse run, client->GetRun(options.run));
    SEEDBED_ASSIGN_OR_RETURN(const std::optional<int64_t> newest, NewestStep(*client, options.run));
    if (newest && (!before || *newest > *before)) {
      if (context.options.json) {
        context.PrintJson({{"run_id", options.run}, {"step", *newest}});
      } else {
        context.Note(absl::StrCat("run ", options.run, ": the checkpoint of step ", *newest, " is stored"));
      }
      return kExitOk;
    }
    if (run.run().state() != v1::RUN_STATE_RUNNING && !run.run().prefetched()) {
      return absl::FailedPreconditionError(absl::StrCat("run ", options.run, " ended before it wrote a checkpoint"));
    }
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(absl::StrCat(
          "run ", options.run, " has written no checkpoint within ", options.timeout, " seconds; it still may, `",
          context.Command(absl::StrCat("checkpoint list ", options.run)), "` shows it"));
    }
    absl::SleepFor(absl::Milliseconds(200));
  }
}

// A directory of this command's own, removed at the end.
class TemporaryDirectory {
 public:
  static absl::StatusOr<std::unique_ptr<TemporaryDirectory>> Make() {
    std::error_code error;
    std::string pattern = (std::filesystem::temp_directory_path(error) / "seedbed-checkpoint-XXXXXX").string();
    if (error || mkdtemp(pattern.data()) == nullptr) {
      return absl::FailedPreconditionError(absl::StrCat("cannot make a temporary directory: ", std::strerror(errno)));
    }
    return std::unique_ptr<TemporaryDirectory>(new TemporaryDirectory(std::move(pattern)));
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryDirectory(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

absl::Status Fetch(Context& context, Client& client, const CheckpointOptions& options, const std::string& path) {
  const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor < 0) return absl::FailedPreconditionError(absl::StrCat("cannot write ", path));
  v1::ReadCheckpointRequest request;
  request.set_run_id(options.run);
  if (options.step) request.set_step(*options.step);
  DescriptorOutput output(descriptor);
  Sha256 sum;
  std::string expected;
  const absl::Status read = client.ReadCheckpoint(request, [&](const v1::CheckpointChunk& chunk) {
    if (!chunk.sha256().empty()) expected = chunk.sha256();
    sum.Update(chunk.data());
    output.Write(chunk.data());
    return output.status().ok();
  });
  output.Flush();
  close(descriptor);
  SEEDBED_RETURN_IF_ERROR(read);
  SEEDBED_RETURN_IF_ERROR(output.status());
  if (HexOf(sum.Finish()) == expected) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("the checkpoint of run ", options.run, " is damaged; `",
                                          context.Command(absl::StrCat("checkpoint list ", options.run)),
                                          "` shows whether there is another"));
}

absl::StatusOr<int> ExportCheckpoint(Context& context, const CheckpointOptions& options) {
  if (options.file.empty())
    return absl::InvalidArgumentError("checkpoint export needs a file to write, such as out.pt");
  if (!options.force) SEEDBED_RETURN_IF_ERROR(CheckThatNothingIsAt(options.file));
  SEEDBED_ASSIGN_OR_RETURN(Client* const client, context.client());
  SEEDBED_ASSIGN_OR_RETURN(const std::unique_ptr<TemporaryDirectory> directory, TemporaryDirectory::Make());
  const std::string fetched = directory->path() + "/checkpoint";
  SEEDBED_RETURN_IF_ERROR(Fetch(context, *client, options, fetched));
  SEEDBED_RETURN_IF_ERROR(RunEngine({"export", fetched, options.file}, "", [](std::string_view) { return true; }));
  if (context.options.json) {
    context.PrintJson({{"run_id", options.run}, {"file", options.file}});
  } else {
    context.Note(
        absl::StrCat("wrote ", options.file, "; torch.load(\"", options.file, "\", weights_only=True) opens it"));
  }
  return kExitOk;
}

}  // namespace

void AddCheckpointCommands(Commands& commands) {
  const auto options = std::make_shared<CheckpointOptions>();
  CLI::App* command = commands.Add("checkpoint", "List a run's checkpoints, write one now, or one's weights for Python",
                                   "seedbed checkpoint list 17\n"
                                   "seedbed checkpoint write 17\n"
                                   "seedbed checkpoint export 17 weights.pt\n"
                                   "seedbed checkpoint export 17 --step 4000 early.pt");
  command->add_option("action", options->action, "list, write or export")
      ->required()
      ->check(CLI::IsMember({"list", "write", "export"}))
      ->type_name("ACTION");
  command->add_option("run", options->run, "A run's id")->required()->check(WholeNumber(1))->type_name("RUN");
  command->add_option("file", options->file, "export: the file to write")->type_name("FILE");
  command->add_option("--step", options->step, "export: of this step (default: the newest)")->check(WholeNumber(0));
  command->add_flag("--force", options->force, "export: write over a file that is there");
  command->add_option("--timeout", options->timeout, "write: seconds to wait until it is stored")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  commands.OnRun(command, [options](Context& context) {
    if (options->action == "list") return List(context, *options);
    return options->action == "write" ? WriteNow(context, *options) : ExportCheckpoint(context, *options);
  });
}

}  // namespace seedbed::cli
