#!/bin/bash
# The stand-in's entrypoint: the steps of the official image's that this stack uses. The user, its
# password and the database are made at the first start; there is no psql in it, so in single-user mode.
set -eu
if [ "$(id -u)" = 0 ]; then
  echo 'this stand-in does not step down from root: give it a user' >&2
  exit 1
fi
mkdir -p "$PGDATA"
chmod 0700 "$PGDATA"
mkdir -p /var/run/postgresql
chmod 03775 /var/run/postgresql || :
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  : "${POSTGRES_PASSWORD:?}"
  initdb --username="$POSTGRES_USER" --pwfile=<(echo "$POSTGRES_PASSWORD") --auth-local=trust --auth-host=scram-sha-256 \
    --encoding=UTF8 --locale-provider=builtin --locale=C.UTF-8 --lc-messages=C
  echo "CREATE DATABASE \"$POSTGRES_DB\"" | postgres --single -D "$PGDATA" postgres
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
fi
exec "$@" -c listen_addresses='*'
