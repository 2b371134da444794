#!/bin/sh
# A CUDA repository through its own build: adopted, tried, and one change measured, in three minutes.
#
#     sh benchmarks/repositories/on_gpu.sh FOLDER
#
# FOLDER is not there yet. It needs a Hopper GPU, nvcc and make; PYTHON is the Python that has
# avo-tui's packages. The change has to be found correct and faster.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
to=$1
avo() { "${PYTHON:-python3}" -m avo_tui.cli "$@"; }

mkdir -p "$to"
export XDG_DATA_HOME="$to/data" AVO_CACHE="$to/cache"
cp -r "$here/cuda" "$to/sums"
avo adopt "$to/sums" --benchmark './bench_sum {seed}' --format json
avo adopt "$to/sums" --check
avo evaluate "$to/sums" "$here/cuda-faster"
