#!/usr/bin/env bash
# Everything that can only be known with a GPU, in one go and under ten minutes: builds the plugin for this card, runs the contract of backends on it in
# every arithmetic, looks for bad accesses and races with compute-sanitizer, times it beside PyTorch on the same card, and ends with one table.
# Needs nvcc, CMake and a C++20 compiler; Python with torch (and transformers) for the peers; Node only for the quickstart. What is missing is named.
# Every step has its own time limit, a step that fails stops no other, and the table is printed whatever happens. Works in a plain copy of the tree.
#   scripts/verify-cuda.sh [folder for the logs and the table; default build/verify-cuda]
#   MENDSET_VERIFY_CARD="name, driver, 9.0"   where nvidia-smi is missing
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=${1:-$root/build/verify-cuda}
build=$root/build/verify-cuda-build
budget=${MENDSET_VERIFY_SECONDS:-570}
mkdir -p "$out" || { echo "verify-cuda: the folder $out cannot be made" >&2; exit 2; }
table=$out/table.txt
: > "$table"
failures=0
say() { echo "verify-cuda: $*" >&2; }
row() { printf '%-34s %-12s %s\n' "$1" "$2" "$3" | tee -a "$table"; }
finish() {
  trap - EXIT
  echo
  echo "===== $((SECONDS)) s, $failures failed ====="
  cat "$table"
  say "the table is $table; keep it as bench/results/cuda-$(date -u +%F)-<device>.txt"
  exit $((failures > 0))
}

nvcc=${CUDA_HOME:+$CUDA_HOME/bin/nvcc}
nvcc=${nvcc:-$(command -v nvcc || true)}
for folder in /usr/local/cuda/bin /usr/local/cuda-*/bin; do
  [ -n "$nvcc" ] && [ -x "$nvcc" ] && break
  nvcc=$folder/nvcc
done
[ -x "$nvcc" ] || { say "expected nvcc in CUDA_HOME/bin, on the PATH or in /usr/local/cuda/bin but found none"; exit 2; }
cuda_home=$(cd "$(dirname "$(readlink -f "$nvcc")")/.." && pwd)
card=${MENDSET_VERIFY_CARD:-$(nvidia-smi --query-gpu=name,driver_version,compute_cap --format=csv,noheader 2>/dev/null | head -1)}
[ -n "$card" ] || { say "there is no NVIDIA device here (nvidia-smi names none); nothing to verify"; exit 2; }
capability=$(echo "$card" | awk -F', *' '{ gsub(/[^0-9]/, "", $NF); print $NF }')
trap finish EXIT
trap 'row interrupted "" "at $SECONDS s"; failures=$((failures + 1)); exit 1' INT TERM

# cublasLt: beside nvcc, or in the packages that torch brings
libraries=$cuda_home/lib64:$cuda_home/targets/x86_64-linux/lib
for package in nvidia.cublas nvidia.cu13; do
  folder=$(python3 -c "import importlib.util as u; s = u.find_spec('$package'); print(list(s.submodule_search_locations)[0] + '/lib' if s else '')" 2> /dev/null) || folder=
  [ -n "$folder" ] && libraries=$libraries:$folder
done
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$libraries
export PATH=$PATH:$cuda_home/bin:$cuda_home/compute-sanitizer
export CUDACXX=$nvcc PYTHONUNBUFFERED=1

row date "$(date -u +%F)" "$card; nvcc $("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p'), $(cmake --version 2> /dev/null | head -1 || echo 'no cmake')"
row commit "$(git -C "$root" rev-parse --short HEAD 2> /dev/null || echo unknown)" "$(uname -srm), $(nproc) cores"

# Runs a command for at most so many seconds and for what is left of the ten minutes; fails with 125 when nothing is.
within() { # seconds, command...
  local limit=$((budget - SECONDS < $1 ? budget - SECONDS : $1))
  shift
  [ "$limit" -gt 0 ] || return 125
  timeout -k 5 "$limit" "$@" < /dev/null
}
step() { # name, seconds allowed, command...
  local name=$1 limit=$2 before status detail
  shift 2
  case $1 in
    "$build"/*) [ -x "$1" ] || { row "$name" "NOT BUILT" "${1#"$build"/}"; failures=$((failures + 1)); return 1; } ;;
  esac
  before=$SECONDS
  within "$limit" "$@" > "$out/$name.log" 2>&1
  status=$?
  detail=$(grep -aE 'passed|ERROR SUMMARY|RACECHECK SUMMARY|skipped|usable:' "$out/$name.log" | tail -1 | cut -c1-200)
  [ $status -eq 0 ] || detail=${detail:-$(grep -av '^ *$' "$out/$name.log" | tail -1 | cut -c1-200)}
  if [ $status -eq 0 ]; then row "$name" ok "$((SECONDS - before)) s  $detail"
  elif [ $status -eq 77 ]; then row "$name" skipped "$detail"
  elif [ $status -eq 125 ]; then row "$name" "not run" "the ten minutes were up"; failures=$((failures + 1))
  elif [ $status -eq 124 ] || [ $status -eq 137 ]; then row "$name" "TIMED OUT" "after $((SECONDS - before)) s, see $name.log: $detail"; failures=$((failures + 1))
  else row "$name" "FAILED $status" "see $name.log: $detail"; failures=$((failures + 1)); fi
  return $status
}

jobs=$(nproc)
generator=()
keep_going=(-- -k)
if command -v ninja > /dev/null; then generator=(-G Ninja) keep_going=(-- -k 0); fi
configure() { # more arguments
  cmake -S "$root" -B "$build" "${generator[@]}" -DCMAKE_BUILD_TYPE=Release -DMENDSET_CUDA=ON -DMENDSET_TESTS=ON -DMENDSET_BENCH=ON "-DMENDSET_CUDA_ARCHITECTURES=$capability-real" "$@"
}
export -f configure
export root build capability generators="${generator[*]}"
step configure 60 bash -c 'generator=($generators); configure' \
  || { rm -rf "$build"; step configure-any-compiler 60 bash -c 'generator=($generators); configure -DCMAKE_CUDA_FLAGS=-allow-unsupported-compiler' && failures=0; }
parts="linear gated attention loss rows selection"
step build-plugin 240 cmake --build "$build" --parallel "$jobs" --target mendset_cuda cuda_plugin_test cuda_bench "${keep_going[@]}"
step build-tests 200 cmake --build "$build" --parallel "$jobs" --target $(for part in $parts; do echo "contract_${part}_cuda_test"; done) \
  k_center_test model_golden_test model_step_test model_generate_test step_agreement_test gradient_norm_scores_test narrow_weights_test "${keep_going[@]}"

library=$build/libmendset_cuda.so
step plugin 90 "$build/native/cuda/cuda_plugin_test" "$library"
for part in $parts; do step "contract-$part" 90 "$build/native/cuda/test/contract_${part}_cuda_test"; done
for test in golden step generate; do step "model-$test" 60 "$build/model_${test}_test" "$library"; done
export MENDSET_CUDA_GRAPHS=required
step step-agreement 60 "$build/step_agreement_test" "$library"
export MENDSET_CUDA_GRAPHS=off
step step-agreement-no-graphs 60 "$build/step_agreement_test" "$library"
unset MENDSET_CUDA_GRAPHS
step gradient-norm-scores 90 "$build/gradient_norm_scores_test" "$library"
step narrow-weights 30 "$build/narrow_weights_test" "$library"
step k-center 60 "$build/k_center_test" "$library"

: > "$out/bench.log"
: > "$out/peers.log"
ours() { # case, seconds allowed
  [ -x "$build/cuda_bench" ] || { echo "$1 failed it was not built" >> "$out/bench.log"; return; }
  within "$2" "$build/cuda_bench" "$library" "$1" >> "$out/bench.log" 2>> "$out/bench.err" || grep -q "^$1 " "$out/bench.log" \
    || echo "$1 failed or took longer than $2 s: $(tail -1 "$out/bench.err")" >> "$out/bench.log"
}
torch=$(within 60 python3 -c 'import torch; assert torch.cuda.is_available(); print(torch.__version__)' 2> "$out/torch.err") || torch=
row torch "${torch:-none}" "$([ -n "$torch" ] || tail -1 "$out/torch.err" | cut -c1-200)"
peers() { # seconds allowed, cases
  local limit=$1
  shift
  [ -n "$torch" ] || return
  within "$limit" python3 "$root/bench/peers/cuda_peers.py" "$@" >> "$out/peers.log" 2>> "$out/peers.err" || say "cuda_peers.py $*: $(tail -1 "$out/peers.err")"
}
ours step-small 40
ours k-means 60
ours k-center 60
ours norms-small 40
ours decode 40
ours step-xl 60
peers 90 step-small-eager k-means k-center norms-small-naive decode step-xl-eager

if command -v compute-sanitizer > /dev/null; then
  # the golden models use every kernel of the language model at small sizes; the sanitizer follows one process
  export MENDSET_CUDA_PROBE=direct
  step memcheck 60 compute-sanitizer --tool memcheck --error-exitcode 1 "$build/model_golden_test" "$library"
  step memcheck-k-center 40 compute-sanitizer --tool memcheck --error-exitcode 1 "$build/k_center_test" "$library"
  step racecheck 80 compute-sanitizer --tool racecheck --error-exitcode 1 "$build/model_golden_test" "$library"
  unset MENDSET_CUDA_PROBE
else
  row memcheck "not run" "compute-sanitizer is not on the PATH"
fi
peers 150 step-small-compiled step-xl-compiled

value() { awk -v name="$2" '$1 == name && $2 != "failed" { print $2 }' "$1" | tail -1; }
compare() { # label, our case, their case, least ratio
  local ours theirs
  ours=$(value "$out/bench.log" "$2")
  theirs=$(value "$out/peers.log" "$3")
  if [ -z "$ours" ]; then row "$1" "not timed" "$(grep "^$2 " "$out/bench.log" | tail -1 | cut -c1-200)"
  elif [ -z "$theirs" ]; then row "$1" "$ours s" "the peer was not timed $(grep "^$3 " "$out/peers.log" | tail -1 | cut -c1-200)"
  else row "$1" "$ours s" "$(awk -v a="$ours" -v b="$theirs" -v least="$4" 'BEGIN { printf "PyTorch %s s, ratio %.2f, wanted %s: %s", b, b / a, least, (b / a >= least ? "reached" : "missed") }')"; fi
}
compare "k-means, an iteration" k-means k-means 1
means=$(value "$out/bench.log" k-means)
[ -z "$means" ] || row "k-means within 8 ms" "$means s" "$(awk -v a="$means" 'BEGIN { print (a <= 0.008 ? "reached" : "missed") }')"
compare "k-center, 10,000 centres" k-center k-center 20
compare "step GPT-2 small, eager" step-small step-small-eager 1.5
compare "step GPT-2 small, compiled" step-small step-small-compiled 1
compare "step GPT-2 XL, eager" step-xl step-xl-eager 1.5
compare "step GPT-2 XL, compiled" step-xl step-xl-compiled 1
compare "gradient norms, naive loop" norms-small norms-small-naive 5
compare "decoding, transformers" decode decode 1.5
norms=$(value "$out/bench.log" norms-small)
own=$(value "$out/bench.log" step-small)
if [ -n "$norms" ] && [ -n "$own" ]; then
  row "norms beside our own step" "$norms s" "$(awk -v n="$norms" -v s="$own" 'BEGIN { printf "%.2f of its speed, wanted 0.9: %s", s / n, (s / n >= 0.9 ? "reached" : "missed") }')"
fi

if command -v node > /dev/null && [ -d "$root/node_modules" ]; then
  export MENDSET_CUDA_LIBRARY=$library
  step quickstart 120 node "$root/scripts/quickstart.mjs" --backend cuda "$out/quickstart"
else
  row quickstart "not run" "there is no Node, or its packages are not installed"
fi
