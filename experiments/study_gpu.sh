#!/usr/bin/env bash
# Runs as many cells of the study's grid as fit a time limit, on one GPU, and writes their results.
#
#     experiments/study_gpu.sh SECONDS [OUT]
#
# OUT/cells.parquet     all results: copy it to experiments/results/GRID
# OUT/report.md         tables of all results
#
# Simulates the archives on the spot. Cells whose results are committed, in
# experiments/results/GRID, are skipped, and so are those that would not be done in time,
# judged by what is done; so the table fills up over the runs. Needs no network. Archives and runs
# are in a folder that goes away, or in WORK where that is set, from which the next run goes on.
# GRID is study if it is not set; GRID=wide MODELS=B-wide fits the images first, GRID=published-gpu
# MODELS='B-deeplense A-deeplense' has the study's own recipe; GRID=smoke MODELS=B rehearses it
# anywhere. JOBS cells at once share the GPU, by NVIDIA's MPS where its daemon is at hand; if it is
# not set, one a processor core of small encoders, and four of others. torch.compile is not used:
# on a CPU it made training slower, and on a GPU nobody has measured it yet.
set -euo pipefail

seconds=${1:?usage: experiments/study_gpu.sh SECONDS [OUT]}
out=${2:-${OUT:-study-gpu}}
grid=${GRID:-study}
models=${MODELS:-B A}
here=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python}
start=$(date +%s)
case $grid in
    study | published-gpu) jobs=${JOBS:-4} ;;
    *) jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN)} ;;
esac
export PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH}

scratch=$(mktemp -d)
WORK=${WORK:-$scratch}
if [ "$jobs" -gt 1 ] && command -v nvidia-cuda-mps-control > /dev/null; then
    export CUDA_MPS_PIPE_DIRECTORY=$scratch/mps CUDA_MPS_LOG_DIRECTORY=$scratch/mps
    mkdir -p "$CUDA_MPS_PIPE_DIRECTORY"
    nvidia-cuda-mps-control -d || unset CUDA_MPS_PIPE_DIRECTORY
fi
leave() {
    if [ -n "${CUDA_MPS_PIPE_DIRECTORY:-}" ]; then
        echo quit | nvidia-cuda-mps-control > /dev/null || true
    fi
    rm -rf "$scratch"
}
trap leave EXIT
results=$WORK/study/results
committed=$here/experiments/results/$grid
mkdir -p "$out" "$results"
if [ -d "$committed" ]; then
    cp "$committed"/*.parquet "$results/"
fi

read -r train test input < <("$python" -c "
from lensmodels.study import load_grid
grid = load_grid('$grid')
print(grid.train, grid.test, grid.set.get('data.input', 'image'))")
data=()
options=()
if [ "$input" != image ]; then
    options=(--refit-snr test)
fi
for model in $models; do
    "$python" -m lenssim generate --model "$model" --train "$train" --test "$test" \
        "${options[@]}" --out "$WORK/archives/$model"
    if [ "$input" != image ]; then
        "$python" -m lenssim fit "$WORK/archives/$model"
    fi
    data+=(--data "$model=$WORK/archives/$model")
done

# what is left for training, less a minute for the report
left=$((seconds - ($(date +%s) - start) - 60))
status=0
if [ "$left" -gt 0 ]; then
    timeout --signal=INT --kill-after=20 "$left" \
        "$python" -m lensmodels study --grid "$grid" "${data[@]}" --out "$WORK/study" \
        --seconds "$left" --jobs "$jobs" || status=$?
    if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
        echo "stopped at the time limit; the cells that were on their way are lost" >&2
        status=0
    fi
fi
if compgen -G "$results/*.parquet" > /dev/null; then
    "$python" -m lensmodels study collect "$WORK/study" --out "$out/cells.parquet"
    "$python" -m lensmodels study report "$WORK/study" --grid "$grid" > /dev/null
    cp "$WORK/study/report.md" "$out/"
    sed -n '/^\*\*/,/^$/p; /^|/p' "$out/report.md" | awk '!seen[$0]++'
fi
exit "$status"
