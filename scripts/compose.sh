#!/bin/sh
# Build the image and run docker-compose.yml with it in the foreground (`make run_in_docker`):
#
#   sh scripts/compose.sh [--profile full|demo] [OPTION...] [-- OPTION OF up...]
#
# Ctrl-C stops it; the data stay in their volumes. MMS_IMAGE is the image's name, BASE its base by
# digest.
set -eu
cd "$(dirname "$0")/.."

if docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
    compose='docker compose'
    engine=docker
elif command -v podman-compose >/dev/null 2>&1; then
    compose=podman-compose
    engine=podman
else
    echo "Docker with its plug-in compose is needed (or podman-compose); neither answers here." >&2
    exit 3
fi

sh scripts/secrets.sh "${SECRETS_DIR:-secrets}"
ENGINE=$engine sh scripts/image.sh "${MMS_IMAGE:-mms-api}" "${BASE:-}"

case " $* " in
    *' --profile'*) ;;
    *) set -- --profile laptop "$@" ;;
esac

# Words after -- are for `up`: each word moves from the front to the back, with `up` in between.
up=no
for word do
    shift
    if [ "$word" = -- ] && [ "$up" = no ]; then
        set -- "$@" up --remove-orphans
        up=yes
    else
        set -- "$@" "$word"
    fi
done
[ "$up" = yes ] || set -- "$@" up --remove-orphans
# shellcheck disable=SC2086 # two words, for the first of them
exec $compose "$@"
