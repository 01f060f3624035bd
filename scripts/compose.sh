#!/bin/sh
# Run docker-compose.yml in the foreground: `sh scripts/compose.sh [--profile full|demo] [OPTION...]`,
# which `make run_in_docker` does. Ctrl-C stops it; the data stay in their volumes.
set -eu
cd "$(dirname "$0")/.."

if docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
    compose='docker compose'
elif command -v podman-compose >/dev/null 2>&1; then
    compose=podman-compose
else
    echo "Docker with its plug-in compose is needed (or podman-compose); neither answers here." >&2
    exit 3
fi

sh scripts/secrets.sh "${SECRETS_DIR:-secrets}"

case " $* " in
    *' --profile'*) ;;
    *) set -- --profile laptop "$@" ;;
esac
# shellcheck disable=SC2086 # two words, for the first of them
exec $compose "$@" up --build --remove-orphans
