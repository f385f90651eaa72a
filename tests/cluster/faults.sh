#!/bin/sh
# Run by `make check-faults` in the build directory: faults.sh SOURCE ROUNDS
#   1. all cluster tests with the long numbers
#   2. the kill tests, ROUNDS times, each from a seed of its own
#   3. kills, bad input and a short history under ThreadSanitizer, in ./faults-tsan
set -eu
source=$1
rounds=$2

run() {
    DYN_LONG=1 /usr/bin/python3 -m pytest -q -n 3 -p no:cacheprovider "$@"
}

seed() {
    od -An -N4 -tu4 /dev/urandom | tr -d ' '
}

echo "== cluster tests, long"
run "$source/tests/cluster"

round=1
while [ "$round" -le "$rounds" ]; do
    DYN_SEED=$(seed)
    export DYN_SEED
    echo "== kill tests, round $round of $rounds, DYN_SEED=$DYN_SEED"
    run "$source/tests/cluster/test_kill.py"
    round=$((round + 1))
done

if [ -f "$source/config.status" ]; then
    echo "== ThreadSanitizer: left out, the sources are configured; build out of tree"
    exit 0
fi
echo "== kill tests, bad input and a short history under ThreadSanitizer, DYN_SEED=${DYN_SEED-}"
mkdir -p faults-tsan
cd faults-tsan
[ -f Makefile ] || "$source/configure" --enable-sanitizer=thread >configure.out
$MAKE -s -j"$(nproc)" >make.out
TSAN_OPTIONS="suppressions=$source/tests/tsan.supp exitcode=66"
export TSAN_OPTIONS
DYN_BUILD=$PWD
export DYN_BUILD
/usr/bin/python3 -m pytest -q -n 3 -p no:cacheprovider "$source/tests/cluster/test_kill.py" \
    "$source/tests/cluster/test_bad_input.py" "$source/tests/cluster/test_history.py" -k "not garbage and not storm"
