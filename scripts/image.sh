#!/bin/sh
# Build the container image: `sh scripts/image.sh NAME [BASE]`, which `make image` does.
#
# Without BASE, the Dockerfile's base is pulled and used by its digest, so that the image names its
# exact base (label org.opencontainers.image.base.name). Without a network the base that was pulled
# last is used. ENGINE names the only engine to use.
set -eu
cd "$(dirname "$0")/.."

name=${1:?usage: sh scripts/image.sh NAME [BASE]}
base=${2:-}

engine=
for candidate in ${ENGINE:-docker podman}; do
    if "$candidate" info >/dev/null 2>&1; then
        engine=$candidate
        break
    fi
done
if [ -z "$engine" ]; then
    echo "Neither docker nor podman answers here: start Docker, or install podman." >&2
    exit 3
fi

if [ -z "$base" ]; then
    tag=$(sed -n 's/^ARG BASE=//p' Dockerfile)
    if ! "$engine" pull --quiet "$tag" >/dev/null; then
        "$engine" image inspect "$tag" >/dev/null 2>&1 || {
            echo "The base $tag can neither be pulled nor is it here." >&2
            exit 1
        }
        echo "The base $tag cannot be asked for: taking it as it was pulled before." >&2
    fi
    base=$("$engine" image inspect --format '{{with .RepoDigests}}{{index . 0}}{{end}}' "$tag")
    [ -n "$base" ] || base=$tag # made on this machine: no registry has given it a digest
fi

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' app/__init__.py)
revision=unknown
if [ -e .git ]; then
    revision=$(git rev-parse HEAD)
    [ -z "$(git status --porcelain)" ] || revision=$revision+
fi

echo "Building $name, version $version at $revision, on $base" >&2
[ "$engine" = docker ] || export BUILDAH_FORMAT=docker # the OCI format has no HEALTHCHECK
exec "$engine" build --tag "$name" --build-arg "BASE=$base" \
    --build-arg "VERSION=$version" --build-arg "REVISION=$revision" .
