#!/bin/bash
# Stands in for the start of the official PostgreSQL image, as far as docker-compose.yml uses it.
set -eu

if [ "$(id -u)" = 0 ]; then
    install --directory --owner=postgres --group=postgres --mode=0700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" --encoding=UTF8 \
        --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256 >/dev/null
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    pg_ctl --wait --options="-c listen_addresses=''" start >/dev/null
    for script in /docker-entrypoint-initdb.d/*.sh; do
        "$script"
    done
    pg_ctl --wait --mode=fast stop >/dev/null
fi

exec "$@" -c listen_addresses='*'
