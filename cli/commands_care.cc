// backup and doctor: the care of a data directory.
#include "cli/commands_care.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/render/format.h"
#include "common/base/status_macros.h"
#include "coordinator/backup.h"
#include "coordinator/doctor.h"

namespace seedbed::cli {
namespace {

struct BackupOptions {
  std::string file;
  std::string directory;
};

// Both commands read the directory's files, which only this machine has.
absl::Status CheckThatItIsHere(const Context& context, const std::string& command) {
  if (context.options.server.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(command,
                                                 " reads the files of a data directory: run it on the coordinator's "
                                                 "machine, with --data DIR instead of --server"));
}

absl::StatusOr<int> Backup(Context& context, const BackupOptions& options) {
  SEEDBED_RETURN_IF_ERROR(CheckThatItIsHere(context, "backup"));
  const bool is_directory = !options.directory.empty();
  std::string target = is_directory ? options.directory : options.file;
  if (target.empty()) {
    target =
        absl::StrCat("seedbed-backup-", absl::FormatTime("%Y%m%d-%H%M%S", absl::Now(), absl::UTCTimeZone()), ".db");
  }
  const std::string data = DataDirectory(context.options);
  SEEDBED_ASSIGN_OR_RETURN(const BackupSize size,
                           is_directory ? BackUpDirectory(data, target) : BackUpDatabase(data, target));
  if (context.options.json) {
    context.PrintJson(
        {{is_directory ? "directory" : "file", target}, {"bytes", size.bytes}, {"checkpoints", size.checkpoints}});
  } else if (is_directory) {
    context.Print(absl::StrCat("wrote ", target, ": the results database and ",
                               FormatPlural(size.checkpoints, "checkpoint"), ", a data directory of its own\n"));
  } else {
    context.Print(absl::StrCat("wrote ", target, " (", FormatPlural(size.bytes, "byte"), ")\n"));
  }
  return kExitOk;
}

void PrintDiagnosis(Context& context, const std::string& directory, const Diagnosis& diagnosis) {
  std::string text =
      absl::StrCat(directory, ": ", FormatPlural(diagnosis.runs, "run"), ", ", FormatPlural(diagnosis.rows, "row"),
                   ", ", FormatPlural(diagnosis.checkpoints, "checkpoint"));
  if (diagnosis.used_by != 0) absl::StrAppend(&text, " (process ", diagnosis.used_by, " is using it)");
  text += "\n";
  for (const std::string& path : diagnosis.removed) absl::StrAppend(&text, "removed ", path, "\n");
  for (const Finding& finding : diagnosis.findings) {
    absl::StrAppend(&text, finding.check, ": ", finding.what, "\n    → ", finding.advice, "\n");
  }
  if (diagnosis.findings.empty()) text += "nothing is wrong\n";
  context.Print(text);
}

absl::StatusOr<int> Doctor(Context& context, DoctorOptions options) {
  SEEDBED_RETURN_IF_ERROR(CheckThatItIsHere(context, "doctor"));
  options.directory = DataDirectory(context.options);
  SEEDBED_ASSIGN_OR_RETURN(const Diagnosis diagnosis, Diagnose(options));
  if (context.options.json) {
    OrderedJson findings = OrderedJson::array();
    for (const Finding& finding : diagnosis.findings) {
      findings.push_back({{"check", finding.check}, {"what", finding.what}, {"advice", finding.advice}});
    }
    context.PrintJson({{"directory", options.directory},
                       {"used_by", diagnosis.used_by == 0 ? OrderedJson() : OrderedJson(diagnosis.used_by)},
                       {"runs", diagnosis.runs},
                       {"rows", diagnosis.rows},
                       {"checkpoints", diagnosis.checkpoints},
                       {"findings", std::move(findings)},
                       {"removed", diagnosis.removed}});
  } else {
    PrintDiagnosis(context, options.directory, diagnosis);
  }
  return diagnosis.findings.empty() ? kExitOk : kExitFailed;
}

}  // namespace

void AddCareCommands(Commands& commands) {
  const auto backup_options = std::make_shared<BackupOptions>();
  CLI::App* backup = commands.Add("backup", "Copy the results database, also while a coordinator works on it",
                                  "seedbed backup\n"
                                  "seedbed backup --output monday.db\n"
                                  "seedbed backup --with-checkpoints /backups/monday");
  CLI::Option* output = backup->add_option("-o,--output", backup_options->file,
                                           "File to write (default: seedbed-backup-DATE-TIME.db here)");
  output->type_name("FILE");
  backup
      ->add_option("--with-checkpoints", backup_options->directory,
                   "Write a data directory instead: the database and the checkpoints' files")
      ->type_name("DIR")
      ->excludes(output);
  commands.OnRun(backup, [backup_options](Context& context) { return Backup(context, *backup_options); });

  const auto options = std::make_shared<DoctorOptions>();
  CLI::App* doctor = commands.Add("doctor", "Examine a data directory: the database, its rows, checkpoints' files",
                                  "seedbed doctor\n"
                                  "seedbed doctor --data /srv/sweeps --json");
  doctor->add_flag("--quick", options->quick, "Leave out what reads every byte of the database's indexes and of files");
  doctor->add_flag("--repair", options->repair, "Remove files that belong to nothing; nothing else is changed");
  commands.OnRun(doctor, [options](Context& context) { return Doctor(context, *options); });
}

}  // namespace seedbed::cli
