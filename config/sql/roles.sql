-- A PostgreSQL role for each daemon, with what it needs and no more. As the owner
-- of the schema, after each `leat migrate` (a new table has no grants before):
--   psql "$LEAT_POSTGRES_URL" -f config/sql/roles.sql
--   psql "$LEAT_POSTGRES_URL" -c '\password leat_fetch'       -- once for each
-- Then leat-fetch gets postgres://leat_fetch:PASSWORD@HOST/DATABASE, and so on.
-- The command leat, which makes tables, submits and repairs, stays with the owner.

DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['leat_fetch', 'leat_delta', 'leat_annotate', 'leat_rollup', 'leat_console', 'leat_scheduler'] LOOP
		IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
			EXECUTE format('CREATE ROLE %I LOGIN NOINHERIT', name);
		END IF;
	END LOOP;
END $$;

BEGIN;

REVOKE ALL ON ALL TABLES IN SCHEMA leat FROM leat_fetch, leat_delta, leat_annotate, leat_rollup, leat_console, leat_scheduler;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA leat FROM leat_fetch, leat_delta, leat_annotate, leat_rollup, leat_console, leat_scheduler;
GRANT USAGE ON SCHEMA leat TO leat_fetch, leat_delta, leat_annotate, leat_rollup, leat_console, leat_scheduler;

-- The ledger holds what each stage has done; a replay opens its job again. Of
-- what others wrote a stage could change that, and no more.
GRANT SELECT, INSERT, UPDATE ON leat.ledger TO leat_fetch, leat_delta, leat_annotate, leat_rollup, leat_console;
GRANT SELECT, UPDATE (state, finished_at, error) ON leat.jobs TO leat_fetch, leat_delta, leat_annotate, leat_rollup, leat_console;
GRANT SELECT ON leat.source_versions TO leat_fetch, leat_delta, leat_annotate, leat_rollup;

-- fetch: jobs and what the sources answered.
GRANT INSERT, UPDATE (started_at, note) ON leat.jobs TO leat_fetch;
GRANT INSERT, UPDATE (taken_at) ON leat.source_versions TO leat_fetch;
GRANT SELECT, INSERT, UPDATE (broken) ON leat.answers TO leat_fetch;
GRANT SELECT, INSERT, UPDATE ON leat.cursors TO leat_fetch;
GRANT INSERT ON leat.rejects TO leat_fetch;
GRANT SELECT, INSERT, DELETE ON leat.cursor_history TO leat_fetch;
GRANT SELECT, INSERT, UPDATE ON leat.tokens, leat.budgets TO leat_fetch; -- the tokens are secrets: fetch and annotate alone read them
GRANT SELECT, INSERT, UPDATE, DELETE ON leat.requests, leat.budget_leases, leat.source_problems, leat.seen, leat.archive, leat.archive_index TO leat_fetch;
GRANT SELECT, INSERT, UPDATE ON leat.streams TO leat_fetch;

-- delta: objects and stats.
GRANT SELECT, INSERT, UPDATE ON leat.objects TO leat_delta;
GRANT SELECT, INSERT, UPDATE, DELETE ON leat.stats, leat.told TO leat_delta;
GRANT SELECT, INSERT ON leat.events TO leat_delta;
GRANT SELECT ON leat.horizons TO leat_delta;
GRANT EXECUTE ON FUNCTION leat.make_month(date) TO leat_delta;

-- annotate: tags.
GRANT SELECT ON leat.objects TO leat_annotate;
GRANT SELECT, INSERT, UPDATE ON leat.tags, leat.lookups, leat.tokens, leat.budgets TO leat_annotate;
GRANT SELECT, INSERT, UPDATE, DELETE ON leat.budget_leases TO leat_annotate;

-- rollup: what is to be written to MongoDB, the end of jobs, and what is forgotten.
GRANT SELECT ON leat.objects, leat.stats, leat.tags TO leat_rollup;
GRANT SELECT, INSERT, UPDATE (due), DELETE ON leat.dirty TO leat_rollup;
GRANT SELECT, INSERT, DELETE ON leat.documents, leat.written TO leat_rollup;
GRANT SELECT, INSERT, UPDATE ON leat.horizons TO leat_rollup;
GRANT SELECT, DELETE ON leat.events, leat.lookups TO leat_rollup;
GRANT UPDATE (counts), DELETE ON leat.jobs TO leat_rollup;
GRANT DELETE ON leat.ledger TO leat_rollup;
GRANT USAGE, SELECT ON SEQUENCE leat.rev TO leat_rollup;

-- scheduler: what is due, and whether the job before has ended.
GRANT SELECT (id, state) ON leat.jobs TO leat_scheduler;
GRANT SELECT ON leat.source_versions TO leat_scheduler;
GRANT SELECT, INSERT, UPDATE ON leat.schedules TO leat_scheduler;

-- console: dead letters, their replays, and who did what.
GRANT SELECT, INSERT, UPDATE ON leat.dead_letters, leat.replays TO leat_console;
GRANT SELECT, INSERT ON leat.audit TO leat_console;
GRANT INSERT, UPDATE (source, sender_id, params, mode) ON leat.jobs TO leat_console; -- a dead job that was edited

COMMIT;
