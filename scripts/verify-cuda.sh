#!/usr/bin/env bash
# Everything that can only be known with a GPU, in one go and under ten minutes: builds the plugin for this card, runs the contract of backends on it in
# every arithmetic, looks for races and bad accesses with compute-sanitizer, times it beside PyTorch on the same card, and ends with one table.
# Needs nvcc, CMake and a C++20 compiler; Python with torch (and transformers) for the peers; Node only for the quickstart. What is missing is named.
#   scripts/verify-cuda.sh [folder for the logs and the table; default build/verify-cuda]
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=${1:-$root/build/verify-cuda}
build=$root/build/verify-cuda-build
mkdir -p "$out"
table=$out/table.txt
: > "$table"
failures=0
say() { echo "verify-cuda: $*" >&2; }
row() { printf '%-34s %-12s %s\n' "$1" "$2" "$3" | tee -a "$table"; }

nvcc=${CUDA_HOME:+$CUDA_HOME/bin/nvcc}
nvcc=${nvcc:-$(command -v nvcc || true)}
[ -n "$nvcc" ] && [ -x "$nvcc" ] || { say "expected nvcc in CUDA_HOME/bin or on the PATH but found none"; exit 2; }
card=$(nvidia-smi --query-gpu=name,driver_version,compute_cap --format=csv,noheader 2>/dev/null | head -1)
[ -n "$card" ] || { say "there is no NVIDIA device here (nvidia-smi names none); nothing to verify"; exit 2; }
capability=$(echo "$card" | awk -F', ' '{ gsub(/\./, "", $3); print $3 }')
row date "$(date -u +%F)" "$card; nvcc $("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')"
row commit "$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)" "$(uname -srm)"

# Runs a command for at most so many seconds and for what is left of the ten minutes; fails with 125 when nothing is.
within() { # seconds, command...
  local limit=$((590 - SECONDS < $1 ? 590 - SECONDS : $1))
  shift
  [ "$limit" -gt 0 ] || return 125
  timeout "$limit" "$@"
}
step() { # name, seconds allowed, command...
  local name=$1 limit=$2 before status detail
  shift 2
  before=$SECONDS
  within "$limit" "$@" > "$out/$name.log" 2>&1
  status=$?
  detail=$(grep -E 'passed|ERROR SUMMARY|skipped' "$out/$name.log" | tail -1)
  if [ $status -eq 0 ]; then row "$name" ok "$((SECONDS - before)) s  $detail"
  elif [ $status -eq 77 ]; then row "$name" skipped "$detail"
  elif [ $status -eq 125 ]; then row "$name" "not run" "the ten minutes were up"; failures=$((failures + 1))
  else row "$name" "FAILED $status" "see $name.log: $detail"; failures=$((failures + 1)); fi
  return $status
}

export CUDACXX=$nvcc
jobs=$(nproc)
step configure 60 cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DMENDSET_CUDA=ON -DMENDSET_TESTS=ON -DMENDSET_BENCH=ON \
  "-DMENDSET_CUDA_ARCHITECTURES=$capability-real" || exit 1
step build 240 cmake --build "$build" --parallel "$jobs" --target mendset_cuda cuda_plugin_test contract_linear_cuda_test contract_gated_cuda_test contract_attention_cuda_test contract_loss_cuda_test contract_rows_cuda_test \
  contract_selection_cuda_test cuda_bench k_center_test model_golden_test model_step_test model_generate_test step_agreement_test || exit 1
library=$build/libmendset_cuda.so
step plugin 60 "$build/native/cuda/cuda_plugin_test" "$library"
for test in linear gated attention loss rows selection; do step "contract-$test" 120 "$build/native/cuda/test/contract_${test}_cuda_test"; done
for test in golden step generate; do step "model-$test" 60 "$build/model_${test}_test" "$library"; done
step step-agreement 60 env MENDSET_CUDA_GRAPHS=required "$build/step_agreement_test" "$library"
step step-agreement-no-graphs 60 env MENDSET_CUDA_GRAPHS=off "$build/step_agreement_test" "$library"
step k-center 60 "$build/k_center_test" "$library"

if command -v compute-sanitizer > /dev/null; then
  # the golden models use every kernel of the language model at small sizes
  step memcheck 60 compute-sanitizer --tool memcheck --error-exitcode 1 "$build/model_golden_test" "$library"
  step racecheck 90 compute-sanitizer --tool racecheck --error-exitcode 1 "$build/model_golden_test" "$library"
  step memcheck-k-center 60 compute-sanitizer --tool memcheck --error-exitcode 1 "$build/k_center_test" "$library"
else
  row memcheck "not run" "compute-sanitizer is not on the PATH"
fi

within 150 "$build/cuda_bench" "$library" > "$out/bench.log" 2> "$out/bench.err" || say "cuda_bench: $(tail -1 "$out/bench.err")"
if python3 -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null; then
  within 200 python3 "$root/bench/peers/cuda_peers.py" > "$out/peers.log" 2> "$out/peers.err" || say "cuda_peers.py: $(tail -1 "$out/peers.err")"
else
  : > "$out/peers.log"
  row peers "not run" "python3 has no torch that sees the device"
fi
value() { awk -v name="$2" '$1 == name && $2 != "failed" { print $2 }' "$1"; }
compare() { # label, our case, their case, least ratio
  local ours theirs
  ours=$(value "$out/bench.log" "$2")
  theirs=$(value "$out/peers.log" "$3")
  if [ -z "$ours" ]; then row "$1" "not timed" "$(grep "^$2 " "$out/bench.log")"
  elif [ -z "$theirs" ]; then row "$1" "$ours s" "the peer was not timed $(grep "^$3 " "$out/peers.log")"
  else row "$1" "$ours s" "$(awk -v a="$ours" -v b="$theirs" -v least="$4" 'BEGIN { printf "PyTorch %s s, ratio %.2f, wanted %s: %s", b, b / a, least, b / a >= least ? "reached" : "missed" }')"; fi
}
compare "k-means, an iteration" k-means k-means 1
ours=$(value "$out/bench.log" k-means)
[ -n "$ours" ] && row "k-means within 8 ms" "$ours s" "$(awk -v a="$ours" 'BEGIN { print a <= 0.008 ? "reached" : "missed" }')"
compare "k-center, 10,000 centres" k-center k-center 20
compare "step GPT-2 small, eager" step-small step-small-eager 1.5
compare "step GPT-2 small, compiled" step-small step-small-compiled 1
compare "step GPT-2 XL, eager" step-xl step-xl-eager 1.5
compare "step GPT-2 XL, compiled" step-xl step-xl-compiled 1
compare "gradient norms, naive loop" norms-small norms-small-naive 5
compare "decoding, transformers" decode decode 1.5
norms=$(value "$out/bench.log" norms-small)
own=$(value "$out/bench.log" step-small)
[ -n "$norms" ] && [ -n "$own" ] && row "norms beside our own step" "$norms s" "$(awk -v n="$norms" -v s="$own" 'BEGIN { printf "%.2f of its speed, wanted 0.9: %s", s / n, s / n >= 0.9 ? "reached" : "missed" }')"

if command -v node > /dev/null && [ -d "$root/node_modules" ]; then
  step quickstart 120 env MENDSET_CUDA_LIBRARY="$library" node "$root/scripts/quickstart.mjs" --backend cuda
else
  row quickstart "not run" "there is no Node, or its packages are not installed"
fi
echo
say "the table is $table; keep it as bench/results/cuda-$(date -u +%F)-<device>.txt"
exit $((failures > 0))
