#!/bin/sh
# The one entry point of the image: its first word says what this container is, the rest are that
# command's own arguments. `exec` makes Python process 1, so that SIGTERM reaches it and its exit code
# is the container's.
set -eu

entry_points="api            serve HTTP (app.serve)
migrate        bring the database of DB_URL to the schema of this version
initial-load   load candles and averages of HISTORY_DAYS, then everything since
incremental    load everything since the last stored candle
reload         load a pair anew, in place of its stored candles
collect        collect spot prices every PRICE_POLL_SECONDS (--once: once)
monitor        name every missing candle (exit 0 complete, 1 gaps or stale, 2 not checked)
backup         write all data into a file: backup /data/backup.mmsb
restore        put the data of such a file into the database, which must be empty
keys           make an API key and its entry for API_KEYS (keys new), or list those that are set"

usage() {
    printf 'usage: docker run IMAGE ENTRY-POINT [ARGUMENT...]\n\n%s\n\n' "$entry_points"
    printf 'Each takes --help.\n'
}

if [ $# -eq 0 ]; then
    usage >&2
    exit 2
fi

entry_point=$1
shift
case $entry_point in
    api) module=app.serve ;;
    migrate) module=app.commands.migrate ;;
    initial-load) module=app.workers.initial_loader ;;
    incremental) module=app.workers.incremental_loader ;;
    reload) module=app.workers.reload ;;
    collect) module=app.workers.price_collector ;;
    monitor) module=app.monitoring.gap_monitor ;;
    keys) module=app.keys ;;
    backup | restore)
        module=app.commands.backup
        set -- "$entry_point" "$@"
        ;;
    help | --help | -h)
        usage
        exit 0
        ;;
    *)
        printf '%s is no entry point of this image.\n\n' "$entry_point" >&2
        usage >&2
        exit 2
        ;;
esac

exec python -m "$module" "$@"
