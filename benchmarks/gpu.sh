#!/bin/sh
# The benchmarks that need a GPU, in under 8 minutes on an H200. Needs torch, transformers, numpy and
# safetensors, and what `src` imports beside them; writes what is printed and the tables to $OUT.
#
#     OUT=benchmarks DEVICE=cuda sh benchmarks/gpu.sh
#     OUT=/tmp/try DEVICE=cpu SIZE=quick READ=quick sh benchmarks/gpu.sh   # tries it on a processor
set -u
cd "$(dirname "$0")/.."
out=${OUT:-benchmarks} device=${DEVICE:-cuda} size=${SIZE:-1.5b} read=${READ:-1.5b}
mkdir -p "$out"
export PYTHONPATH=src PYTHONUNBUFFERED=1
run() { # seconds, name, command: what one leaves undone does not keep the next back
    seconds=$1 name=$2
    shift 2
    timeout "$seconds" python "$@" --device "$device" >"$out/$name.txt" 2>"$out/$name.log"
    echo "$name: exit $?, $(tail -n 1 "$out/$name.txt")"
}
run 200 writing benchmarks/generation.py --size "$size" --rounds 5 --bandwidth "${BANDWIDTH:-4.8}" \
    --only "ours, a vector per row" "ours, 32 arms" --file --json
run 140 forced benchmarks/forced.py --size "$read" --rounds 1 --tokens "${TOKENS:-1000}" --file --json
[ "$size" = quick ] || run 120 extraction benchmarks/extraction.py --preset 8b --rounds 1
[ "$out" = benchmarks ] || cp benchmarks/generation-*.csv benchmarks/forced-*.csv "$out"
