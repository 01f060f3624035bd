#!/bin/sh
# Prepare one kind of tools: `sh scripts/tools.sh deploy`, `rehearsal`, `audit`, `checkov`,
# `clients` or `node`.
#
# They are in .tools/NAME, apart from .venv: tools that ship or judge the application must never
# choose the versions that it runs with. As in scripts/venv.sh: no cost without a change,
# installation by hash, wheels only, no resolving, and a new start after an interrupted
# installation.
set -eu

case ${1:-} in
    deploy | rehearsal | audit | checkov | clients | node) ;;
    *)
        echo "usage: sh scripts/tools.sh deploy|rehearsal|audit|checkov|clients|node" >&2
        exit 2
        ;;
esac
requirements=requirements/$1.txt
folder=.tools/$1
packages='' # the folder with a list for npm, if there is one
[ "$1" != clients ] || packages=tests/tools/clients

say() { printf '%s\n' "$*" >&2; }

if cmp -s "$requirements" "$folder/.installed" &&
    { [ -z "$packages" ] || cmp -s "$packages/package-lock.json" "$folder/package-lock.json"; } &&
    "$folder/bin/python" -I -S -c '' 2>/dev/null; then
    exit 0
fi

python=''
for candidate in ${PYTHON:-} python3.14 python3.13 python3.12 python3.11 python3; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    say "Python 3.11 or newer with venv is needed, and none was found."
    exit 2
fi

say "Installing what $requirements lists into $folder: once."
rm -rf "$folder"
mkdir -p .tools
"$python" -m venv "$folder"
if ! "$folder/bin/python" -m pip install -qq --no-input --disable-pip-version-check --no-deps \
    --require-hashes --only-binary :all: --requirement "$requirements"; then
    say "The installation failed; what pip says stands above. Type the same command again to retry."
    exit 2
fi
if ! check=$("$folder/bin/python" -m pip --disable-pip-version-check check 2>&1); then
    say "$check"
    say "What $requirements pins does not fit together: make lock"
    exit 2
fi
if [ -n "$packages" ]; then
    cp "$packages/package.json" "$packages/package-lock.json" "$folder"
    # By hash, as above, and without scripts of the packages. npm is a script of node's.
    if ! PATH="$PWD/$folder/bin:$PATH" npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund \
        --no-update-notifier --loglevel error >&2; then
        say "The installation failed; what npm says stands above. Type the same command again to retry."
        exit 2
    fi
fi
cp "$requirements" "$folder/.stamp"
mv "$folder/.stamp" "$folder/.installed"
