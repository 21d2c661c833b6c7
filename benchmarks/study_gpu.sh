#!/usr/bin/env bash
# Runs as many cells of the study's grid as fit a time limit, on one GPU, and writes their results.
#
#     benchmarks/study_gpu.sh SECONDS [OUT]
#
# Simulates the archives on the spot. Cells whose results are committed, in
# benchmarks/results/study/results, are skipped, and so are those that would not be done in time,
# judged by what is done; so the table fills up over the runs: unpack OUT/new-results.tgz into
# benchmarks/results/study afterwards and commit it. Needs no network. GRID=smoke MODELS=B rehearses
# it anywhere.
set -euo pipefail

seconds=${1:?usage: benchmarks/study_gpu.sh SECONDS [OUT]}
out=${2:-${OUT:-study-gpu}}
grid=${GRID:-study}
models=${MODELS:-B A}
here=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python}
start=$(date +%s)
export PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH}

mkdir -p "$out/study/results"
if [ -d "$here/benchmarks/results/$grid/results" ]; then
    cp -n "$here/benchmarks/results/$grid/results/"* "$out/study/results/"
fi

read -r train test < <("$python" -c "
from lensmodels.benchmark import load_grid
grid = load_grid('$grid')
print(grid.train, grid.test)")
data=()
for model in $models; do
    "$python" -m lenssim generate --model "$model" --train "$train" --test "$test" \
        --out "$out/archives/$model"
    data+=(--data "$model=$out/archives/$model")
done

# what is left for training, less a minute for the report
left=$((seconds - ($(date +%s) - start) - 60))
status=0
if [ "$left" -gt 0 ]; then
    timeout --signal=INT --kill-after=20 "$left" \
        "$python" -m lensmodels benchmark --grid "$grid" "${data[@]}" --out "$out/study" \
        --seconds "$left" || status=$?
    if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
        echo "stopped at the time limit; the cell that was on its way is lost" >&2
        status=0
    fi
fi
rm -rf "$out/archives"
(cd "$out/study" && find results -name '*.json' -o -name '*.npz' |
    while read -r file; do
        [ -e "$here/benchmarks/results/$grid/$file" ] || echo "$file"
    done | tar czf ../new-results.tgz --files-from -)
if compgen -G "$out/study/results/*.json" > /dev/null; then
    "$python" -m lensmodels benchmark report "$out/study" --grid "$grid" > /dev/null
    sed -n '/^\*\*/,/^$/p; /^|/p' "$out/study/report.md" | awk '!seen[$0]++'
fi
exit "$status"
