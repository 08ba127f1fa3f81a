#!/usr/bin/env bash
# PostgreSQL's image runs this once, on an empty volume: the role of intake and workers, which reads and writes rows of
# the tables that `pingpost migrate` makes as their owner, and can neither change nor drop them.
# On a database that is there already, run it by hand (it may be run again), and GRANT on the tables that are there.
set -euo pipefail

word=$(cat "${POSTGRES_RUN_PASSWORD_FILE:-/run/secrets/postgres_run_password}")
# The password goes in by standard input: `ps` shows arguments.
psql --quiet -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<SQL
DO \$\$ BEGIN
    CREATE ROLE pingpost_run;
EXCEPTION WHEN duplicate_object THEN NULL;
END \$\$;
ALTER ROLE pingpost_run LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '$word';
REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE TEMPORARY ON DATABASE "$POSTGRES_DB" FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO pingpost_run;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO pingpost_run;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO pingpost_run;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO pingpost_run;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO pingpost_run;
SQL
