// version and completion: about the program itself.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands.h"

namespace seedbed::cli {
namespace {

absl::StatusOr<int> Version(Context& context) {
  if (context.options.json) {
    context.PrintJson({{"version", SEEDBED_VERSION}});
  } else {
    context.Print(absl::StrCat("seedbed ", SEEDBED_VERSION, "\n"));
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

// A script for bash with every command's options written out, so that completing starts no program.
std::string BashCompletion(const CLI::App& app) {
  std::vector<std::string> names;
  std::string cases;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
    absl::StrAppend(&cases, "    ", command->get_name(), ") options=\"", OptionWords(*command), "\" ;;\n");
  }
  return absl::StrCat(R"(# bash completion for seedbed. Load it with: source <(seedbed completion bash)
_seedbed() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command= options= word
  local -i i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case $word in
      --server|--data|--token-file|--tls-ca|--tls-certificate|--tls-key) ((i++)) ;;
      -*) ;;
      *) command=$word; break ;;
    esac
  done
  compopt +o nospace 2>/dev/null
  case $previous in
    --data|--directory) compopt -o dirnames 2>/dev/null; COMPREPLY=($(compgen -d -- "$current")); return ;;
    --token-file|--output|--tls-ca|--tls-certificate|--tls-key) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$current")); return ;;
    --state) COMPREPLY=($(compgen -W "queued running finished failed cancelled" -- "$current")); return ;;
    --format) COMPREPLY=($(compgen -W "csv jsonl" -- "$current")); return ;;
    --role) COMPREPLY=($(compgen -W "admin submit worker read" -- "$current")); return ;;
    --what) COMPREPLY=($(compgen -W "runs steps configurations" -- "$current")); return ;;
  esac
  case $command in
)",
                      cases, R"(    *) options="" ;;
  esac
  if [[ -z $command ]]; then
    COMPREPLY=($(compgen -W ")",
                      absl::StrJoin(names, " "), " ", OptionWords(app), R"(" -- "$current"))
  elif [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options )",
                      OptionWords(app), R"(" -- "$current"))
  else
    case $command in
      plan|run|submit) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$current")) ;;
      checkpoint) COMPREPLY=($(compgen -W "list export" -- "$current")) ;;
      token) COMPREPLY=($(compgen -W "create list revoke" -- "$current")) ;;
      tls) COMPREPLY=($(compgen -W "init" -- "$current")) ;;
      completion) COMPREPLY=($(compgen -W "bash" -- "$current")) ;;
      show|watch|wait|status|sweeps|runs|pause|resume|cancel|retry|extend|delete|prune|export|verify)
        COMPREPLY=($(compgen -W "last all" -- "$current")) ;;
    esac
  fi
}
complete -F _seedbed seedbed
)");
}

}  // namespace

void AddProgramCommands(Commands& commands) {
  CLI::App* version = commands.Add("version", "Print the version", "");
  commands.OnRun(version, Version);

  const auto shell = std::make_shared<std::string>();
  CLI::App* completion = commands.Add("completion", "Print a completion script for a shell",
                                      "source <(seedbed completion bash)\n"
                                      "seedbed completion bash > ~/.local/share/bash-completion/completions/seedbed");
  completion->add_option("shell", *shell, "bash")->required()->check(CLI::IsMember({"bash"}))->type_name("SHELL");
  CLI::App* app = &commands.app();
  commands.OnRun(completion, [app](Context& context) -> absl::StatusOr<int> {
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
