#!/bin/sh
# fuzz.sh TIME: runs each fuzz target of the project for TIME (such as 30s).
set -eu
time=${1:-30s}
failed=
for dir in $(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$dir"/*_test.go); do
		echo "== $dir $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$dir" || failed="$failed $dir:$target"
	done
done
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
