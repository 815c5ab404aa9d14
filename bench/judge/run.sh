#!/bin/sh
# Lets two foreign appliers judge random patches: bench/judge/run.sh [pairs, 100000 by default]
set -eu
cd "$(dirname "$0")"
[ -d node_modules ] || npm install --silent --no-audit --no-fund
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkfifo "$dir/triples" "$dir/node" "$dir/go"
go build -o "$dir/judge" .
node judge.mjs <"$dir/node" & node=$!
"$dir/judge" <"$dir/go" & evanphx=$!
tee "$dir/node" <"$dir/triples" >"$dir/go" &
(cd ../../jsonpatch && JSONPATCH_PAIRS="${1:-100000}" JSONPATCH_TRIPLES="$dir/triples" go test -count=1 -timeout 0 -run TestRandomPairs .)
wait "$node"
wait "$evanphx"
