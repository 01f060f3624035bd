#!/bin/sh
# Prepare .venv: `sh scripts/venv.sh run`, or `dev` with the tools, or `checks` with those of the
# image and the laptop stack as well.
#
# Every make target calls this first, so it takes milliseconds when nothing changed. Its marks, all
# inside .venv:
#   .installed-run, -dev, -checks     a copy of the requirements that were installed, written last
#   .installing                      there while an installation runs; if it is left over, one was
#                                    interrupted, and .venv is made anew
#   .made-in                         the folder: the commands in .venv/bin work in no other
# Written for the plain POSIX shell: it runs on Linux and macOS alike.
set -eu

case ${1:-} in
    run) requirements=requirements.txt stamps=run ;;
    dev) requirements=requirements/dev.txt stamps='run dev' ;; # the tools' list holds the other
    checks) requirements=requirements/checks.txt stamps='run dev checks' ;;
    *) echo "usage: sh scripts/venv.sh run|dev|checks" >&2; exit 2 ;;
esac
wanted=$1
lock=.venv.lock
needed="Python 3.11 or newer is needed: 3.10 is out of support since October 2026."

say() { printf '%s\n' "$*" >&2; }

# The version of an interpreter, empty where it does not run: a version manager's shim can stand on
# the PATH and still fail because that version is not switched on.
version_of() {
    "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' </dev/null 2>/dev/null || true
}

minor_of() { printf '%s' "${1%.*}"; }

succeeds() { "$1" -c "$2" </dev/null >/dev/null 2>&1; }

# A .venv outlives the Python it was made from (an upgrade, a removal), so its own Python is run
# too. Where PYTHON is given, .venv must be of that version.
usable() {
    [ ! -e .venv/.installing ] || return 1
    [ ! -e .venv/.made-in ] || [ "$(cat .venv/.made-in)" = "$(pwd -P)" ] || return 1
    have=$(.venv/bin/python -I -S -c \
        'import sys; sys.exit(sys.version_info < (3, 11) or print("%d.%d" % sys.version_info[:2]))' \
        </dev/null 2>/dev/null) || return 1
    [ -z "${PYTHON:-}" ] || [ "$(minor_of "$(version_of "$PYTHON")")" = "$have" ]
}

up_to_date() { usable && cmp -s "$requirements" ".venv/.installed-$wanted"; }

# Set `python` to the newest interpreter that runs and can make a .venv, or explain and stop.
choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        set -- "$PYTHON"
    else
        set -- python3.14 python3.13 python3.12 python3.11 python3 python
    fi
    python='' found='' incomplete=''
    for candidate do
        version=$(version_of "$candidate")
        if [ -z "$version" ]; then
            ! command -v "$candidate" >/dev/null 2>&1 ||
                found="$found${found:+, }$candidate is there but does not run"
            continue
        fi
        found="$found${found:+, }$candidate is Python $version"
        succeeds "$candidate" 'import sys; sys.exit(sys.version_info < (3, 11))' || continue
        if succeeds "$candidate" 'import venv, ensurepip'; then
            python=$candidate
            return
        fi
        incomplete=${incomplete:-$candidate}
    done
    if [ -n "$incomplete" ]; then
        version=$(version_of "$incomplete")
        say "$incomplete is Python $version, but what makes a .venv is missing from it."
        say "On Debian or Ubuntu: apt install python$(minor_of "$version")-venv (or python3-venv)."
        say "Then type the same command again."
    elif [ -n "${PYTHON:-}" ]; then
        say "$needed"
        say "The one given cannot serve: ${found:-there is no $PYTHON}."
        say "Give PYTHON the path of another, or leave it out to have the newest one found."
    else
        say "$needed"
        say "Found on this machine: ${found:-no Python that runs}."
        say "Install one ('apt install python3 python3-venv', 'brew install python', python.org) and"
        say "type the same command again. One that is not on the PATH can be named:"
        say "  make install PYTHON=/path/to/python3"
    fi
    exit 1
}

# Two make commands in one folder must not install over each other.
take_lock() {
    waited=0
    until mkdir "$lock" 2>/dev/null; do
        holder=$(cat "$lock/pid" 2>/dev/null || true)
        # Its owner is gone, or was interrupted before it wrote its number.
        if { [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; } ||
            { [ -z "$holder" ] && [ "$waited" -ge 5 ]; }; then
            rm -rf "$lock"
            continue
        fi
        [ "$waited" -ne 0 ] || say "Another command is installing into .venv: waiting for it."
        waited=$((waited + 1))
        if [ "$waited" -gt 600 ]; then
            say "Still waiting after ten minutes. If nothing is installing, remove $lock and retry."
            exit 1
        fi
        sleep 1
    done
    trap 'rm -rf "$lock"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    echo $$ >"$lock/pid"
}

create() {
    choose_python
    # The rename comes first: an interrupted removal must not leave a .venv that looks whole.
    if [ -e .venv ] || [ -L .venv ]; then
        say "The .venv that is here cannot be used (unfinished, moved, or of another Python)."
        mv .venv ".venv.old.$$"
    fi
    rm -rf .venv.old.*
    say "Making .venv with $python (Python $(version_of "$python"))."
    mkdir .venv
    : >.venv/.installing
    "$python" -m venv .venv
    pwd -P >.venv/.made-in
}

install() {
    : >.venv/.installing
    say "Installing what $requirements lists into .venv: once, about a minute."
    # Wheels only: a source package would run its own, unpinned build here. The list is complete, so
    # nothing is resolved: an older pip would look at newer releases of packages with an extra, and
    # refuse them. (tests/house checks that the list is complete.)
    if ! .venv/bin/python -m pip install -qq --no-input --disable-pip-version-check --no-deps \
        --require-hashes --only-binary :all: --requirement "$requirements"; then
        say "The installation failed; what pip says stands above. It needs the network, or a mirror"
        say "that pip is configured for. Type the same command again to retry."
        exit 1
    fi
    # For developers also the project, editable, so that `mms` is in .venv/bin. setuptools is in
    # their list: nothing is fetched.
    if [ "$wanted" != run ] && ! .venv/bin/python -m pip install -qq --no-input --disable-pip-version-check \
        --no-index --no-deps --no-build-isolation --editable .; then
        say "The project could not be installed into .venv; what pip says stands above."
        exit 1
    fi
    for name in $stamps; do
        case $name in
            run) cp requirements.txt .venv/.stamp ;;
            dev) cp requirements/dev.txt .venv/.stamp ;;
            checks) cp requirements/checks.txt .venv/.stamp ;;
        esac
        mv .venv/.stamp ".venv/.installed-$name" # a rename: a stamp is never there in part
    done
    rm -f .venv/.installing
}

if up_to_date; then exit 0; fi
take_lock
if up_to_date; then exit 0; fi # another command did it while this one waited
# A .venv made by hand has no marks. It is used as it is, if it has pip.
if ! usable || ! succeeds .venv/bin/python 'import pip'; then create; fi
install
