#!/bin/sh
# Install the system programs that the larger checks need (Debian, Ubuntu), as root or through sudo:
# `make programs`. Installed programs are left alone. The application itself needs none of them.
# LibreOffice, which is large, comes with `make programs ARGS=sheet`: `make sheet-check` alone needs it.
set -eu

missing=''
want() { # want PACKAGE PROGRAM
    command -v "$2" >/dev/null 2>&1 || [ -x "/usr/sbin/$2" ] || missing="$missing $1"
}

# Machines of GitHub come with Chrome, and Ubuntu has Chromium as a snap only.
command -v google-chrome >/dev/null 2>&1 || want chromium chromium
want memcached memcached
want nghttp2-client h2load
want nginx-light nginx
want openssl openssl
want pgbouncer pgbouncer
want sqlite3 sqlite3
want wrk wrk
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || want postgresql initdb
[ "${1:-}" != sheet ] || want libreoffice-calc soffice

if [ -z "$missing" ]; then
    echo "Everything is there."
    exit 0
fi
echo "Installing$missing"
as_root=''
[ "$(id -u)" -eq 0 ] || as_root='sudo -n'
apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=2 -o Acquire::http::Timeout=20"
$apt update
# shellcheck disable=SC2086 # the packages are words of their own
$apt install -y --no-install-recommends $missing >/dev/null
