#!/bin/bash
# Runs once, while the primary's database is made: the roles besides the administrator, each with no
# more rights than its work needs, and the database. The image calls it as the user postgres.
set -eu

psql --quiet --set ON_ERROR_STOP=1 --username postgres --dbname postgres <<'SQL'
\set mms `tr -d '\r\n' </run/secrets/db_password`
\set replicator `tr -d '\r\n' </run/secrets/replication_password`
\set exporter `tr -d '\r\n' </run/secrets/exporter_password`
CREATE ROLE mms LOGIN PASSWORD :'mms';
CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'replicator';
CREATE ROLE exporter LOGIN PASSWORD :'exporter' IN ROLE pg_monitor;
CREATE DATABASE mms OWNER mms ENCODING 'UTF8' TEMPLATE template0;
SQL

# "all" does not mean the stream of a replica: it has to be allowed by name.
echo 'host replication replicator all scram-sha-256' >>"$PGDATA/pg_hba.conf"
