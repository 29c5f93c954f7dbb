// version and completion: about the program itself.
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands.h"
#include "common/schema/trainer_schema.h"

namespace seedbed::cli {
namespace {

absl::StatusOr<int> Version(Context& context) {
  if (context.options.json) {
    context.PrintJson({{"version", SEEDBED_VERSION}});
  } else {
    context.Print(VersionLine() + "\n");
  }
  return kExitOk;
}

std::string OptionWords(const CLI::App& app) {
  std::vector<std::string> words;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
  }
  return absl::StrJoin(words, " ");
}

// A script for bash with every command's options written out. Only the names of sweeps and workers are asked for.
std::string BashCompletion(const CLI::App& app) {
  std::vector<std::string> names;
  std::string cases;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
    absl::StrAppend(&cases, "    ", command->get_name(), ") options=\"", OptionWords(*command), "\" ;;\n");
  }
  std::set<std::string> outcomes;
  for (const std::string& trainer : TrainerNames()) {
    const TrainerSchema& schema = *FindTrainer(trainer);
    outcomes.insert(schema.outcomes.begin(), schema.outcomes.end());
  }
  return absl::StrCat(R"sh(# bash completion for seedbed. Load it with: source <(seedbed completion bash)
_seedbed_names() {  # QUERY, which gives one column: its values, from where the command line says; nothing after a second
  timeout 1 "${COMP_WORDS[0]}" "${globals[@]}" query "$1" --csv 2>/dev/null </dev/null | tail -n +2
}
_seedbed() {
  local current=${COMP_WORDS[COMP_CWORD]} line=${COMP_LINE:0:COMP_POINT} command= options= previous=
  local -a words globals=()
  local -i i
  # Bash has split addresses at their colons.
  read -ra words <<< "$line"
  [[ $line == *[[:space:]] ]] || unset 'words[-1]'
  for ((i = 1; i < ${#words[@]}; i++)); do
    previous=${words[i]}
    case $previous in
      --server|--data|--token-file|--tls-ca|--tls-certificate|--tls-key)
        if [[ -n ${words[i+1]} ]]; then globals+=("$previous" "${words[i+1]}"); previous=${words[++i]}; fi ;;
      --server=*|--data=*|--token-file=*|--tls-ca=*|--tls-certificate=*|--tls-key=*) globals+=("$previous") ;;
      -*) ;;
      *) [[ -n $command ]] || command=$previous ;;
    esac
  done
  compopt +o nospace 2>/dev/null
  case $previous in
    --data|--directory) compopt -o dirnames 2>/dev/null; COMPREPLY=($(compgen -d -- "$current")); return ;;
    --token-file|--output|-o|--tls-ca|--tls-certificate|--tls-key)
      compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$current")); return ;;
    --state) COMPREPLY=($(compgen -W "queued running finished failed cancelled" -- "$current")); return ;;
    --outcome) COMPREPLY=($(compgen -W ")sh",
                      absl::StrJoin(outcomes, " "), R"sh(" -- "$current")); return ;;
    --device) COMPREPLY=($(compgen -W "auto cpu cuda" -- "$current")); return ;;
    --pack) COMPREPLY=($(compgen -W "auto" -- "$current")); return ;;
    --format) COMPREPLY=($(compgen -W "csv jsonl" -- "$current")); return ;;
    --role) COMPREPLY=($(compgen -W "admin submit worker read" -- "$current")); return ;;
    --what) COMPREPLY=($(compgen -W "runs steps configurations" -- "$current")); return ;;
  esac
  case $command in
)sh",
                      cases, R"sh(    *) options="" ;;
  esac
  if [[ -z $command ]]; then
    COMPREPLY=($(compgen -W ")sh",
                      absl::StrJoin(names, " "), " ", OptionWords(app), R"sh(" -- "$current"))
  elif [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options )sh",
                      OptionWords(app), R"sh(" -- "$current"))
  else
    case $command in
      plan|run|submit) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$current")) ;;
      checkpoint)
        case $previous in
          checkpoint) COMPREPLY=($(compgen -W "list write export" -- "$current")) ;;
          *) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$current")) ;;
        esac ;;
      token) COMPREPLY=($(compgen -W "create list revoke" -- "$current")) ;;
      tls) COMPREPLY=($(compgen -W "init" -- "$current")) ;;
      completion) COMPREPLY=($(compgen -W "bash" -- "$current")) ;;
      drain)
        COMPREPLY=($(compgen -W "$(_seedbed_names "select distinct name from workers where state <> 'gone'")" \
                       -- "$current")) ;;
      show|watch|wait|status|sweeps|runs|pause|resume|cancel|retry|extend|delete|prune|export|verify)
        COMPREPLY=($(compgen -W "last all $(_seedbed_names \
          "select name from sweeps where state <> 'deleting' order by sweep_id desc limit 100")" -- "$current")) ;;
    esac
  fi
}
complete -F _seedbed seedbed
)sh");
}

}  // namespace

std::string VersionLine() {
  return std::string("seedbed ") + SEEDBED_VERSION;
}

void AddProgramCommands(Commands& commands) {
  CLI::App* version = commands.Add("version", "Print the version", "");
  commands.OnRun(version, Version);

  const auto shell = std::make_shared<std::string>();
  CLI::App* completion = commands.Add("completion", "Print a completion script for a shell",
                                      "source <(seedbed completion bash)\n"
                                      "seedbed completion bash > ~/.local/share/bash-completion/completions/seedbed");
  completion->add_option("shell", *shell, "bash")->required()->check(CLI::IsMember({"bash"}))->type_name("SHELL");
  CLI::App* app = &commands.app();
  // `shell` is kept for CLI11, which writes there while it parses.
  commands.OnRun(completion, [app, shell](Context& context) -> absl::StatusOr<int> {
    const std::string script = BashCompletion(*app);
    if (context.options.json) {
      context.PrintJson({{"script", script}});
    } else {
      context.Print(script);
    }
    return kExitOk;
  });
}

}  // namespace seedbed::cli
