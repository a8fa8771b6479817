#!/bin/sh
# check-docs.sh [BUILD]: compares the documentation with the programs, in both directions. What
# people use in scripts cannot be added, renamed or dropped without its page.
#
#   settings    the lines `  NAME  ...` of each program's --help,    docs/settings.md: first column,
#               with `(MIN to MAX, default N)`                       programs, default, bounds
#   metrics     "pgfanout_..." literals in api/ and consumer/        docs/metrics.md
#   routes      `METHOD PATH` lines of pgfanout-api --routes         docs/http.md
#   exit codes  EXIT_NAME = NUMBER in common/base/base.h             docs/programs.md: first table
#   benchmarks  the numbers of the rows in tests/bench/              docs/benchmarks.md: column 1
#   files       each exists                                          `api/...` etc. in all pages
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
build=${1:-build}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
failed=0

# compare WHAT PAGE: reports what only $tmp/code or only $tmp/docs has.
compare() {
	sort -u -o "$tmp/code" "$tmp/code"
	sort -u -o "$tmp/docs" "$tmp/docs"
	if [ ! -s "$tmp/code" ]; then
		echo "check-docs: found no $1 in the programs: is the check itself broken?" >&2
		failed=1
	fi
	comm -23 "$tmp/code" "$tmp/docs" | sed "s|.*|check-docs: $1 & is missing in $2|" >"$tmp/wrong"
	comm -13 "$tmp/code" "$tmp/docs" | sed "s|.*|check-docs: $2 names $1 &, which does not exist|" >>"$tmp/wrong"
	if [ -s "$tmp/wrong" ]; then
		cat "$tmp/wrong" >&2
		failed=1
	fi
}

: >"$tmp/code"
for program in pgfanout-api pgfanout-consumer reset-replicas pgfanout-migrate; do
	if ! "$build/$program" --help >"$tmp/help"; then
		echo "check-docs: $program --help failed" >&2
		exit 1
	fi
	short=${program#pgfanout-}
	short=${short%-replicas}
	sed -nE "s/^  ([A-Z][A-Z0-9_n]+) .*\(([0-9]+ to [0-9]+), default ([0-9]+)\)$/\1 of $short: \2, \3/p
		t
		s/^  ([A-Z][A-Z0-9_n]+)( .*)?$/\1 of $short/p" "$tmp/help" >>"$tmp/code"
done
# A setting is a `NAME` in the first column of the table. Bounds may differ by program:
# `api 0 to 9; consumer 1 to 9`.
awk -F ' *[|] *' '$2 ~ /^`[A-Z]/ {
	gsub(/`/, "")
	programs = $3 == "all" ? "api, consumer, reset, migrate" : $3
	n = split(programs, program, / *[,;] */)
	delete bounds
	for (i = split($5, part, / *; */); i > 0; i--)
		if (match(part[i], /[0-9]+ to [0-9]+$/)) {
			range = substr(part[i], RSTART)
			who = RSTART > 1 ? substr(part[i], 1, RSTART - 2) : programs
			for (k = split(who, names, / *[,;] */); k > 0; k--)
				bounds[names[k]] = range
		}
	for (i = 1; i <= n; i++)
		print $2 " of " program[i] ($4 ~ /^[0-9]+$/ && program[i] in bounds ? ": " bounds[program[i]] ", " $4 : "")
}' docs/settings.md >"$tmp/docs"
compare setting docs/settings.md

grep -ohE '"[^"]*"' api/*.c api/*/*.c consumer/*.c consumer/*/*.c | grep -oE '\bpgfanout_[a-z0-9_]+' >"$tmp/code"
grep -oE '`pgfanout_[a-z0-9_]+' docs/metrics.md | tr -d '`' >"$tmp/docs"
compare metric docs/metrics.md

if ! "$build/pgfanout-api" --routes >"$tmp/routes"; then
	echo "check-docs: pgfanout-api --routes failed" >&2
	exit 1
fi
sed 's/[[:space:]]\{1,\}/ /g; s/^ //; s/ $//; /^$/d' "$tmp/routes" >"$tmp/code"
# The page writes a route as `GET /path`, with or without a query after it.
grep -oE '`(GET|HEAD|POST|PUT|PATCH|DELETE) /[^ `?]*' docs/http.md | tr -d '`' >"$tmp/docs"
compare route docs/http.md

tr -s '[:space:]' ' ' <common/base/base.h | grep -oE '\bEXIT_[A-Z]+ = [0-9]+' | sed 's/ = /=/' >"$tmp/code"
sed -n 's/^| *\([0-9]\{1,\}\) *| *`\(EXIT_[A-Z]*\)` *|.*/\2=\1/p' docs/programs.md >"$tmp/docs"
compare "exit code" docs/programs.md

# Two tables: what is compared, and, once a full run is recorded, the results.
results='/^<!-- results/,/^<!-- end of results/'
numbers='s/^| *\([0-9]\{1,\}\) *|.*/\1/p'
grep -ohE 'results\.(add|compare)\([0-9]+,' tests/bench/*.py | tr -cd '0-9\n' >"$tmp/code"
sed "${results}d" docs/benchmarks.md | sed -n "$numbers" >"$tmp/docs"
compare benchmark docs/benchmarks.md
sed -n "${results}p" docs/benchmarks.md | sed -n "$numbers" >"$tmp/docs"
test ! -s "$tmp/docs" || compare benchmark "the results in docs/benchmarks.md"

grep -oE '`(api|common|consumer|docs|migrations|tests)/[A-Za-z0-9_./-]*`' README.md docs/*.md |
	tr -d '`' >"$tmp/docs"
while IFS=: read -r page path; do
	if [ ! -e "$path" ]; then
		echo "check-docs: $page names $path, which does not exist" >&2
		failed=1
	fi
done <"$tmp/docs"

exit $failed
