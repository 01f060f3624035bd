#!/bin/sh
# A streaming replica of $PRIMARY: copies it at the first start, then follows it. Runs as postgres.
set -eu

place=/var/lib/postgresql/data
export PGDATA="$place/replica"
export PGPASSFILE="$place/passfile"
umask 077
echo "*:*:*:replicator:$(tr -d '\r\n' </run/secrets/replication_password)" >"$PGPASSFILE"

if [ ! -d "$PGDATA" ]; then
    # The rename comes last: a copy that was cut off is made anew.
    rm -rf "$place/coming"
    pg_basebackup --host="$PRIMARY" --username=replicator --no-password --wal-method=stream \
        --checkpoint=fast --write-recovery-conf --pgdata="$place/coming"
    mv "$place/coming" "$PGDATA"
fi

exec postgres -c listen_addresses='*'
