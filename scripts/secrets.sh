#!/bin/sh
# Make the missing secrets of docker-compose.yml: `sh scripts/secrets.sh FOLDER`. Existing ones
# stay. Only the owner can enter the folder. The files are readable by anyone, because each
# container reads its own as another user. `keys` holds digests alone: the API keys of API_KEYS_FILE.
set -eu

folder=${1:?usage: sh scripts/secrets.sh FOLDER}
umask 022
mkdir -p "$folder"
chmod 0700 "$folder"
# Else Docker would make it, as root's.
mkdir -p "$folder/keys"

# A file is whole or absent.
put() {
    [ -s "$folder/$1" ] && return 0
    printf '%s\n' "$2" >"$folder/.$1"
    chmod 0444 "$folder/.$1"
    mv "$folder/.$1" "$folder/$1"
    echo "Made $folder/$1" >&2
}

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

for name in db_admin_password db_password replication_password exporter_password grafana_password \
    cache_secret; do
    put "$name" "$(random)"
done
password=$(tr -d '\r\n' <"$folder/db_password")
put db_url "postgresql://mms:$password@postgres:5432/mms"
put db_read_url "postgresql://mms:$password@postgres-replica:5432/mms"
