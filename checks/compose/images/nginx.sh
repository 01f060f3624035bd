#!/bin/sh
# Stands in for the start of the official nginx image: templates become files, then nginx starts.
set -eu

names=$(env | sed -n 's/^\([A-Z_0-9]*\)=.*/${\1}/p' | tr '\n' ' ')
for template in /etc/nginx/templates/*.template; do
    envsubst "$names" <"$template" >"$NGINX_ENVSUBST_OUTPUT_DIR/$(basename "$template" .template)"
done

exec "$@"
