-- +goose Up

-- Internal: the tokens of OAuth 2, so that one process refreshes them for all.
CREATE TABLE leat.tokens (
	name    text PRIMARY KEY, -- hash of who asks whom for what
	source  text NOT NULL,
	access  text NOT NULL DEFAULT '',
	refresh text NOT NULL DEFAULT '', -- came with it, and goes over that of the source file
	ends_at timestamptz NOT NULL DEFAULT '1970-01-01'
);

-- The pages of one sequence have the id of the slice that asked for the first.
ALTER TABLE leat.answers
	ADD COLUMN page int NOT NULL DEFAULT 1,
	ADD COLUMN first_id text NOT NULL DEFAULT '',
	ADD COLUMN link text NOT NULL DEFAULT ''; -- to the next page, where the answer's header had it
CREATE INDEX answers_message ON leat.answers (message_id);
CREATE INDEX answers_hash ON leat.answers (first_id, hash);
CREATE INDEX answers_url ON leat.answers USING hash (url);

-- Internal: what the last job was told at each address. It stands for what
-- PostgreSQL holds once that job is done; with a job that is not, it says nothing.
CREATE TABLE leat.requests (
	source    text NOT NULL,
	account   text NOT NULL,
	name      text NOT NULL, -- hash of the source file's version and the address
	shape     text NOT NULL, -- of the version and the days: an answer of another one may hold the same data
	first_day date NOT NULL, -- what an answer may hold, -infinity to infinity where it does not say
	last_day  date NOT NULL,
	etag      text NOT NULL DEFAULT '',
	modified  text NOT NULL DEFAULT '',
	hash      text NOT NULL DEFAULT '',
	records   int NOT NULL DEFAULT 0,
	job_id    uuid NOT NULL REFERENCES leat.jobs ON DELETE CASCADE,
	PRIMARY KEY (source, account, name)
);
CREATE INDEX requests_job ON leat.requests (job_id);

-- A person's word goes over that of jobs which had begun before.
ALTER TABLE leat.cursors ADD COLUMN set_at timestamptz;

-- Internal: the values that cursors had.
CREATE TABLE leat.cursor_history (
	source  text NOT NULL,
	account text NOT NULL,
	stream  text NOT NULL,
	value   text, -- null: it was reset
	job_id  uuid, -- null: a person set it
	at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX cursor_history_at ON leat.cursor_history (source, account, stream, at);

-- Internal: what may be asked of a host with one credential, by all processes.
CREATE TABLE leat.budgets (
	name text PRIMARY KEY, -- source, host, and account where each has its own credential
	answered timestamptz[] NOT NULL DEFAULT '{}',     -- when the last requests were
	line timestamptz NOT NULL DEFAULT '1970-01-01',   -- the turn of who stands in line last
	cool timestamptz NOT NULL DEFAULT '1970-01-01',   -- until then nothing is asked
	why  text NOT NULL DEFAULT ''
);

-- Internal: requests that have not ended.
CREATE TABLE leat.budget_leases (
	name       text NOT NULL,
	message_id text NOT NULL,
	until      timestamptz NOT NULL,
	answered   boolean NOT NULL DEFAULT false, -- and is still read
	PRIMARY KEY (name, message_id)
);
