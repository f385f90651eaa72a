#!/bin/sh
# dyn-hash-tool as a user meets it: every hash over the vectors, its options, its exit statuses.
# Runs in the build directory, as make check does; TEST_VECTORS names the directory of the vectors.
set -eu
LC_ALL=C
export LC_ALL
tool=$PWD/dyn-hash-tool
vectors=${TEST_VECTORS:?names the directory of hash_tokens.tsv}/hash_tokens.tsv
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

fail() {
    echo "FAIL: $*" >&2
    exit 1
}

same() { # what, expected file, file found
    cmp "$2" "$3" >&2 || fail "$1"
}

# status, words on stderr, arguments: the tool fails so, and prints nothing on stdout
refuses() {
    want=$1 words=$2
    shift 2
    status=0
    "$tool" "$@" >out 2>err </dev/null || status=$?
    [ "$status" -eq "$want" ] || fail "$*: exit status $status, not $want"
    grep -q -e "$words" err || fail "$*: stderr lacks '$words': $(cat err)"
    [ ! -s out ] || fail "$*: printed on stdout"
}

awk -F'\t' 'NR > 1 && !seen[$1]++ { print $1 }' "$vectors" >hashes
[ "$(wc -l <hashes)" -eq 14 ] || fail "not 14 hashes in $vectors"
while read -r hash; do
    awk -F'\t' -v h="$hash" '$1 == h { print $2 }' "$vectors" >keys
    awk -F'\t' -v h="$hash" '$1 == h { print $3 }' "$vectors" >tokens
    awk -F'\t' -v h="$hash" '$1 == h { print "KEY:" $2; print $3 }' "$vectors" >both
    [ "$(wc -l <keys)" -ge 135 ] || fail "$hash: too few keys"
    "$tool" -H "$hash" <keys >out
    same "$hash, stdin to stdout" tokens out
    rm out
    "$tool" -H "$hash" -k -i keys -o out
    same "$hash, -k -i -o" both out
    "$tool" --hash="$hash" --outputkey --keyfile=keys --tokenfile=out
    same "$hash, long options" both out
done <hashes

awk -F'\t' '$1 == "murmur" { print $2 }' "$vectors" >keys
awk -F'\t' '$1 == "murmur" { print $3 }' "$vectors" >tokens
"$tool" -i - -o - <keys >out
same "murmur is the default, - is stdin and stdout" tokens out

# line for line, whatever the lines hold
printf 'foo\n\nbar' | "$tool" -k >out
printf 'KEY:foo\n3303027599\nKEY:\n0\nKEY:bar\n516654467\n' >expected
same "an empty line, a last line without a newline" expected out
printf 'a\000b\r\n' | "$tool" -k | head -n 1 >out
printf 'KEY:a\000b\r\n' >expected
same "NUL and CR belong to the key" expected out
"$tool" </dev/null >out
[ ! -s out ] || fail "no key, no token"

for option in -h --help; do
    "$tool" $option >out 2>err
    while read -r hash; do
        grep -q -w -e "$hash" out || fail "$option doesn't name $hash"
    done <hashes
    [ ! -s err ] || fail "$option writes to stderr"
done
for option in -V --version; do
    "$tool" $option >out
    grep -q '^dyn-hash-tool [0-9]' out || fail "$option"
done

refuses 2 'found nosuch; allowed:.* murmur ' -H nosuch
refuses 2 'found MURMUR' -H MURMUR
refuses 2 "option '--nosuch'" --nosuch
refuses 2 "option -- 'x'" -x
refuses 2 "requires an argument" -i
refuses 2 'found key' key
refuses 1 "can't read absent: No such file" -i absent
refuses 1 "can't read .*: Is a directory" -i .
refuses 1 "can't write absent/out: No such file" -o absent/out

cp keys keys.before
refuses 1 "can't write ./keys: the keys are read from it" -i keys -o ./keys
same "input named as output" keys.before keys
echo precious >kept
refuses 1 "can't read absent" -i absent -o kept
grep -q precious kept || fail "output emptied though there was no input"
if [ -c /dev/full ]; then
    refuses 1 "can't write /dev/full: No space" -i keys -o /dev/full
    status=0
    "$tool" -h >/dev/full 2>err || status=$?
    [ "$status" -eq 1 ] || fail "help to a full disk: exit status $status"
fi
