#!/bin/sh
# The table in docs/commands.md is the one that the server has. To renew it:
#     ./print_commands markdown
set -eu
documented=${srcdir:-.}/docs/commands.md
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
./print_commands markdown >"$dir/table"
[ "$(wc -l <"$dir/table")" -gt 200 ]
grep '^|' "$documented" >"$dir/documented"
diff -u "$dir/documented" "$dir/table"
