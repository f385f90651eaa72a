#!/bin/sh
# Runs the fuzz targets named in $FUZZ_TARGETS, from the build directory.
#   fuzz.sh                 each one over its committed corpus (a test)
#   fuzz.sh search SECONDS  each one that long from there (--enable-fuzzers); what it finds of
#                           interest goes to fuzz-found/<core>, what breaks it to fuzz-found/
set -eu
corpora=${srcdir:-.}/tests/fuzz/corpus

# -runs=0 is for libFuzzer: read the inputs, search for no others.
replay() {
    ./"$1" -runs=0 "$corpora/$2"
}

search() {
    mkdir -p "fuzz-found/$2"
    ./"$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="fuzz-found/$2-" "fuzz-found/$2" "$corpora/$2"
}

mode=replay
if [ "${1-}" = search ]; then
    mode=search
    seconds=$2
fi
for target in $FUZZ_TARGETS; do
    core=${target#fuzz_}
    if [ -z "$(ls "$corpora/$core" 2>/dev/null)" ]; then
        echo "$target: $corpora/$core has no inputs" >&2
        exit 1
    fi
    echo "== $target"
    $mode "$target" "$core"
done
