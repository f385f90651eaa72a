#!/bin/sh
# Runs the fuzz targets named in $FUZZ_TARGETS, from the build directory.
#   fuzz.sh                 each one over its committed corpus (a test)
#   fuzz.sh search SECONDS  each one that long from there (--enable-fuzzers), as many at a time as
#                           there are CPUs; what it finds of interest goes to fuzz-found/<core>,
#                           what breaks it to fuzz-found/, what it says to fuzz-found/<target>.out
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

# One search, for the processes that search_all starts.
search_one() {
    echo "== $1"
    search "$1" "${1#fuzz_}"
}

search_all() {
    mkdir -p fuzz-found
    rc=0
    # xargs ends with an error if one of them did
    printf '%s\n' $FUZZ_TARGETS | xargs -P "$(nproc)" -I@ \
        sh -c '"$0" one @ "$1" >fuzz-found/@.out 2>&1' "$0" "$seconds" || rc=1
    for target in $FUZZ_TARGETS; do
        cat "fuzz-found/$target.out"
    done
    return $rc
}

mode=${1-replay}
case $mode in
search) seconds=$2 ;;
one)
    seconds=$3
    search_one "$2"
    exit
    ;;
esac
for target in $FUZZ_TARGETS; do
    core=${target#fuzz_}
    if [ -z "$(ls "$corpora/$core" 2>/dev/null)" ]; then
        echo "$target: $corpora/$core has no inputs" >&2
        exit 1
    fi
    [ "$mode" = replay ] || continue
    echo "== $target"
    replay "$target" "$core"
done
[ "$mode" = replay ] || search_all
