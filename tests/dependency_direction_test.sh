#!/usr/bin/env bash
# The direction of dependencies (ARCHITECTURE.md, "Folders"), read off the includes: each rule names files and what they must not include.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
failures=0

sources_below() { find "$@" \( -name '*.cc' -o -name '*.h' \) -not -path '*/build*' 2>/dev/null; }

# forbid "what the rule says" "extended regex of forbidden text" file...
forbid() {
  local rule=$1 pattern=$2 found
  shift 2
  [[ $# -gt 0 ]] || return 0
  if found=$(grep -nE "$pattern" "$@" /dev/null); then
    echo "broken: $rule"
    echo "$found" | sed 's/^/  /'
    failures=$((failures + 1))
  fi
}
without_tests() { grep -vE '_test\.cc$|/testing/'; }

mapfile -t common < <(sources_below common)
mapfile -t base_and_schema < <(sources_below common/base common/schema)
mapfile -t core < <(sources_below coordinator/core | without_tests)
mapfile -t storage < <(sources_below coordinator/storage)
mapfile -t coordinator < <(sources_below coordinator)
mapfile -t coordinator_itself < <(find coordinator -maxdepth 1 \( -name '*.cc' -o -name '*.h' \) -not -name main.cc)
mapfile -t access < <(sources_below coordinator/access)
mapfile -t rpc < <(sources_below coordinator/rpc)
mapfile -t web < <(sources_below coordinator/web)
mapfile -t worker < <(sources_below worker)
mapfile -t engine < <(sources_below worker/engine)
mapfile -t process < <(sources_below worker/process)
mapfile -t agent < <(sources_below worker/agent)
mapfile -t cli < <(sources_below cli)
mapfile -t outside_storage < <(sources_below common coordinator worker cli | grep -v '^coordinator/storage/')
mapfile -t outside_web < <(sources_below common coordinator worker cli bench tests | grep -v '^coordinator/web/')
mapfile -t outside_engine < <(sources_below common coordinator worker cli bench | grep -vE '^(worker|bench)/engine/')
mapfile -t outside_rims < <(sources_below common coordinator worker cli | grep -vE '^(coordinator/rpc/|coordinator/main|worker/client/|worker/main|cli/)')

forbid "common includes nothing of ours but common" '#include "(coordinator|worker|cli|seedbed/v1)/' "${common[@]}"
forbid "base and schema know no YAML, SQL, gRPC, torch or OpenSSL" '#include [<"](yaml-cpp|sqlite3|grpc|torch|ATen|c10)' "${base_and_schema[@]}"
forbid "base and schema include neither secrets, sweep_file nor statistics" '#include "common/(secrets|sweep_file|statistics)/' "${base_and_schema[@]}"
forbid "the core is pure: no proto, SQL, clock, lock, thread or random number" \
  'sqlite3|\.pb\.h|<mutex>|<thread>|<atomic>|<chrono>|<random>|<ctime>|absl::Now\(|Clock\b.*Now\(|random_device' "${core[@]}"
forbid "the core includes only common and itself" '#include "(coordinator/(storage|access|rpc|web|[a-z_]+\.h)|worker|cli)' "${core[@]}"
forbid "storage includes neither the coordinator, access, rpc nor web" '#include "coordinator/(access|rpc|web|[a-z_]+\.h)' "${storage[@]}"
forbid "the coordinator's own files include neither access, rpc nor web" '#include "coordinator/(access|rpc|web)/' "${coordinator_itself[@]}"
forbid "access knows neither gRPC nor HTTP" '#include ([<"](grpc|httplib|seedbed/v1)|"coordinator/(rpc|web)/)' "${access[@]}"
forbid "rpc and web never include each other" '#include "coordinator/web/' "${rpc[@]}"
forbid "web and rpc never include each other, and web knows no proto" '#include ([<"](grpc|seedbed/v1)|"coordinator/rpc/)' "${web[@]}"
forbid "httplib stands in web only" '#include [<"]httplib' "${outside_web[@]}"
forbid "coordinator and worker never include each other" '#include "worker/' "${coordinator[@]}"
forbid "worker and coordinator never include each other" '#include "coordinator/' "${worker[@]}"
forbid "the engine includes only common/base and common/schema of ours" '#include "(common/(secrets|sweep_file|statistics)|coordinator|worker/(process|agent|client)|cli|seedbed/v1)' "${engine[@]}"
forbid "no gRPC or protobuf in the engine" 'grpc|\.pb\.h|google/protobuf' "${engine[@]}"
forbid "agent and engine, process and engine never include each other" '#include "worker/engine/' "${agent[@]}" "${process[@]}"
forbid "process does not include the agent" '#include "worker/(agent|client)/' "${process[@]}"
forbid "sqlite3.h stands in storage only" '#include [<"]sqlite3' "${outside_storage[@]}"
forbid "torch headers stand in the engine only" '#include [<"](torch|ATen|c10)/' "${outside_engine[@]}"
forbid "generated protos and gRPC stand at the rims only" '#include [<"](seedbed/v1|grpcpp|grpc)/' "${outside_rims[@]}"
forbid "the CLI knows neither worker nor engine" '#include "worker/' "${cli[@]}"

# A device has one order of summation only where nothing is added from two places (docs/engine.md, "Packs"): the gradient of a gather, an
# embedding or an index_select is such an addition, so that lookups are stacked_lookup's, and examples are selected without gradients.
mapfile -t stacked < <(sources_below worker/engine | grep -E '/(stacked_[a-z_]*|reference_learner)\.(cc|h)$' | without_tests)
mapfile -t without_lookups < <(printf '%s\n' "${stacked[@]}" | grep -vE '/stacked_(lookup|examples)\.cc$')
forbid "no atomics in stacked learners: one-hot products or where instead" \
  '(at::|\.|->)(index_add|index_put|index_fill|scatter|gather|embedding|bincount|put_|take|histc|cumsum)' "${stacked[@]}"
forbid "stacked learners look rows up by Lookup alone" '(at::|\.|->)(index_select|index)\(' "${without_lookups[@]}"

if ((failures > 0)); then
  echo "$failures rules of dependency direction are broken"
  exit 1
fi
echo "dependency direction holds in ${#outside_rims[@]} files"
