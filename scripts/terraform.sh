#!/bin/sh
# Run Terraform, also without its registry: `sh scripts/terraform.sh ARGS...`, as terraform.
#
# Only `init` needs the AWS provider from somewhere. It is taken from
#   1. the folder that TF_PROVIDER_MIRROR names, laid out as `terraform providers mirror` makes it;
#   2. else the registry;
#   3. else such a folder at one of the places where machines have them.
# The lock file's checksums hold for all three. Exit 3: no provider or no Terraform; nothing was
# checked.
set -eu

say() { printf 'terraform: %s\n' "$*" >&2; }

if ! command -v terraform >/dev/null 2>&1; then
    say "Terraform 1.11 or newer is not on the PATH; nothing was checked."
    exit 3
fi

initialises=no
for argument do
    [ "$argument" != init ] || initialises=yes
done
[ "$initialises" = yes ] || exec terraform "$@"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A mirror is <folder>/<host>/hashicorp/aws; Terraform needs the folder.
found_mirror() {
    for place in "${HOME:-/nowhere}/.terraform.d" /usr/local/share/terraform /usr/share/terraform \
        /usr/lib/terraform /var/lib/terraform /srv /opt; do
        [ -d "$place" ] || continue
        found=$(find "$place" -xdev -maxdepth 6 -type d -path '*/hashicorp/aws' \
            -not -path '*/.terraform/*' 2>/dev/null | head -n 1)
        if [ -n "$found" ]; then
            dirname "$(dirname "$(dirname "$found")")"
            return
        fi
    done
}

from_mirror() {
    cat >"$work/config" <<CONFIG
disable_checkpoint = true
provider_installation {
  filesystem_mirror {
    path = "$1"
  }
}
CONFIG
    mirror=$1
    shift
    say "the AWS provider comes from the mirror at $mirror"
    TF_CLI_CONFIG_FILE=$work/config terraform "$@"
}

if [ -n "${TF_PROVIDER_MIRROR:-}" ]; then
    if [ -z "$(find "$TF_PROVIDER_MIRROR" -maxdepth 3 -path '*/hashicorp/aws' 2>/dev/null)" ]; then
        say "TF_PROVIDER_MIRROR=$TF_PROVIDER_MIRROR holds no AWS provider; nothing was checked."
        exit 3
    fi
    from_mirror "$TF_PROVIDER_MIRROR" "$@"
    exit
fi

code=0
terraform "$@" >"$work/out" 2>"$work/err" || code=$?
# Anything but an unreachable registry is Terraform's own answer.
if [ "$code" -eq 0 ] || ! grep -q 'could not connect to' "$work/err"; then
    cat "$work/out"
    cat "$work/err" >&2
    exit "$code"
fi
mirror=$(found_mirror)
if [ -z "$mirror" ]; then
    cat "$work/err" >&2
    say "the registry cannot be reached, and no mirror of the AWS provider was found; nothing was checked."
    say "Name one by TF_PROVIDER_MIRROR; elsewhere \`terraform providers mirror FOLDER\` makes it."
    exit 3
fi
from_mirror "$mirror" "$@"
