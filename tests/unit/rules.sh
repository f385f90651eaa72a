#!/bin/sh
# The project's rules that grep can tell: who may include whom, where memory, threads and RCU come
# from, and that the papers name no file that isn't there.
cd "${srcdir:-.}" || exit 1
bad=0

complain() {
    echo "$1"
    bad=1
}

# From the ground; a room includes itself, what stands below, and on its own floor only `request`
# its neighbour `peer`.
floor() {
    case $1 in
    core) echo 0 ;;
    config | wire | ring) echo 1 ;;
    hint) echo 2 ;;
    store) echo 3 ;;
    peer) echo 4 ;;
    request) echo 5 ;;
    gossip) echo 6 ;;
    client | admin) echo 7 ;;
    top) echo 8 ;;
    *) echo none ;;
    esac
}

for file in src/*/*.[ch] src/*.[ch]; do
    room=$(echo "$file" | sed -n 's|^src/\([a-z]*\)/.*|\1|p')
    room=${room:-top}
    mine=$(floor "$room")
    [ "$mine" != none ] || complain "$file: the room $room stands on no floor (tests/unit/rules.sh)"
    for other in $(sed -n 's|^#include "\([a-z]*\)/.*|\1|p' "$file" | sort -u); do
        [ "$other" != "$room" ] && [ "$other" != proto ] || continue
        theirs=$(floor "$other")
        [ "$theirs" != none ] && [ "$theirs" -lt "$mine" ] ||
            complain "$file: includes $other/, which doesn't stand below $room/"
    done
done

# only WHAT PATTERN FILE...: lines of src and tools with the pattern stand in no other file.
only() {
    what=$1 pattern=$2
    shift 2
    for file in $(grep -lE "$pattern" src/*.[ch] src/*/*.[ch] tools/*.c); do
        case " $* " in
        *" $file "*) ;;
        *) complain "$file: $what belongs into $*: $(grep -nE "$pattern" "$file" | head -1)" ;;
        esac
    done
}

only "liburcu" '#include *<urcu' src/core/rcu.h src/core/rcu.c src/core/mailbox.h src/core/mailbox.c
only "getting memory" \
    '(^|[^_a-z])(malloc|calloc|realloc|reallocarray|strdup|strndup|v?asprintf|aligned_alloc|posix_memalign) *\(' \
    src/core/mem.h src/core/mem.c
only "making a thread" '(pthread|uv_thread|thrd)_create *\(' src/core/actor.c

# every header of src says what it is for before it does anything
for file in src/*.h src/*/*.h; do
    head -1 "$file" | grep -q '^/\*' || complain "$file: doesn't begin with what it is for"
done

# What stands in backticks and looks like a path of ours is one: as it stands, below src, or
# without its ending.
for paper in README.md ARCHITECTURE.md CONTRIBUTING.md CHANGELOG.md docs/*.md; do
    for path in $(grep -o '`[a-z][a-z]*/[a-z_/.*]*`' "$paper" | tr -d '`' | sort -u); do
        found=no
        for place in "$path" "src/$path" "$path".* "src/$path".*; do
            # shellcheck disable=SC2086
            if ls -d $place >/dev/null 2>&1; then found=yes; fi
        done
        [ $found = yes ] || complain "$paper: names $path, which isn't there"
    done
    for path in $(sed -n 's/.*](\([^)#:]*\)).*/\1/p' "$paper"); do
        [ -e "$(dirname "$paper")/$path" ] || complain "$paper: links to $path, which isn't there"
    done
done

exit $bad
