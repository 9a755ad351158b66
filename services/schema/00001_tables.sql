-- +goose Up

-- Public tables: names and columns are a contract.

CREATE TABLE leat.jobs (
	id          uuid PRIMARY KEY,
	parent_id   uuid REFERENCES leat.jobs ON DELETE SET NULL,
	sender_id   text,
	source      text NOT NULL,
	mode        text NOT NULL CHECK (mode IN ('refresh', 'backfill', 'full', 'url', 'repair')),
	params      jsonb NOT NULL,
	via         text NOT NULL,
	state       text NOT NULL CHECK (state IN ('queued', 'running', 'done', 'incomplete', 'failed', 'cancelled')),
	counts      jsonb NOT NULL DEFAULT '{}',
	error       text,
	created_at  timestamptz NOT NULL DEFAULT now(),
	started_at  timestamptz,
	finished_at timestamptz,
	UNIQUE (source, sender_id)
);
CREATE INDEX jobs_parent ON leat.jobs (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX jobs_open ON leat.jobs (id) WHERE state IN ('queued', 'running');

CREATE TABLE leat.objects (
	id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	source        text NOT NULL,
	type          text NOT NULL,
	key           text NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 512),
	parent_id     bigint REFERENCES leat.objects,
	depth         smallint NOT NULL,
	name          text NOT NULL,
	attrs         jsonb NOT NULL DEFAULT '{}',
	feeds         jsonb,
	observed_at   timestamptz NOT NULL, -- -infinity: only named so far, as the parent of another
	first_seen    timestamptz NOT NULL DEFAULT now(),
	changed_at    timestamptz NOT NULL DEFAULT now(),
	UNIQUE (source, type, key)
);
CREATE INDEX objects_children ON leat.objects (parent_id);

CREATE TABLE leat.stats (
	object_id   bigint NOT NULL,
	day         date NOT NULL,
	rule        text NOT NULL DEFAULT '',
	dims        text NOT NULL DEFAULT '',
	metrics     jsonb NOT NULL,
	hours       jsonb,
	hours_at    jsonb,
	observed_at timestamptz NOT NULL,
	PRIMARY KEY (object_id, day, rule, dims)
) PARTITION BY RANGE (day);

CREATE VIEW leat.stats_hourly AS
SELECT s.object_id, s.day, s.rule, s.dims, h.key::int AS hour, h.value AS metrics, s.observed_at
FROM leat.stats s, jsonb_each(coalesce(s.hours, jsonb_build_object('23', s.metrics))) AS h
WHERE h.value <> '{}';

CREATE TABLE leat.tags (
	object_id   bigint PRIMARY KEY REFERENCES leat.objects ON DELETE CASCADE,
	tags        jsonb NOT NULL DEFAULT '{}',
	inputs_hash bytea,
	version_at  timestamptz NOT NULL DEFAULT '-infinity', -- when the source version that made them was first used
	changed_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE leat.rejects (
	job_id   uuid NOT NULL REFERENCES leat.jobs ON DELETE CASCADE,
	n        int NOT NULL,
	position text NOT NULL,
	source   text NOT NULL,
	reason   text NOT NULL,
	record   text NOT NULL,
	at       timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (job_id, n, position)
);

-- Internal tables: their form is free.

CREATE TABLE leat.source_versions (
	hash   text PRIMARY KEY,
	source text NOT NULL,
	text   text NOT NULL,
	tables jsonb NOT NULL DEFAULT '{}',
	at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE leat.ledger (
	stage       text NOT NULL,
	message_id  text NOT NULL,
	job_id      uuid NOT NULL,
	source      text,
	state       text NOT NULL CHECK (state IN ('started', 'done', 'dead')),
	starts      int NOT NULL DEFAULT 0,
	replay      int NOT NULL DEFAULT 0,
	observed_at timestamptz,
	seen        bigint[], -- delta: digests of what a part held and did not write
	seen_from   bigint,   -- the lowest and the highest id of their objects
	seen_to     bigint,
	counts      jsonb NOT NULL DEFAULT '{}',
	names       text[] NOT NULL DEFAULT '{}',
	outputs     jsonb NOT NULL DEFAULT '[]',
	error       text,
	error_class text,
	done_at     timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (stage, message_id)
);
CREATE INDEX ledger_job ON leat.ledger (job_id);
CREATE INDEX ledger_seen ON leat.ledger (source, observed_at) WHERE seen IS NOT NULL;

-- Up to where the ledger of a source was pruned: what is older cannot be put in
-- order any more.
CREATE TABLE leat.horizons (
	source      text PRIMARY KEY,
	observed_at timestamptz NOT NULL
);

CREATE TABLE leat.answers (
	job_id      uuid NOT NULL REFERENCES leat.jobs ON DELETE CASCADE,
	n           int NOT NULL,
	message_id  text NOT NULL, -- the slice that asked
	url         text NOT NULL,
	hash        text NOT NULL,
	bytes       bigint NOT NULL,
	format      text NOT NULL,
	observed_at timestamptz NOT NULL,
	asked_at    timestamptz NOT NULL,
	broken      text, -- why it could not be read to the end: the next try asks again
	PRIMARY KEY (job_id, n)
);

-- A refresh asks from value on. Next becomes the value when its job is done.
CREATE TABLE leat.cursors (
	source  text NOT NULL,
	account text NOT NULL,
	stream  text NOT NULL,
	value   text,
	next    text,
	job_id  uuid,
	etag    text,
	at      timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (source, account, stream)
);

CREATE TABLE leat.events (
	source   text NOT NULL,
	event_id bytea NOT NULL, -- the first 16 bytes of the id's SHA-256
	day      date NOT NULL,
	PRIMARY KEY (source, event_id)
);
CREATE INDEX events_day ON leat.events (day);

CREATE TABLE leat.dirty (
	id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	object_id bigint NOT NULL,
	root_id   bigint NOT NULL, -- the top of the object's tree: parents and children are written together
	half      text NOT NULL,   -- '': all documents of the object
	days      date[],          -- null: all days of the half-year
	job_id    uuid NOT NULL,
	due       timestamptz NOT NULL -- written then, even while the job runs
);
CREATE INDEX dirty_object ON leat.dirty (object_id, id);
CREATE INDEX dirty_job ON leat.dirty (job_id);
CREATE INDEX dirty_due ON leat.dirty (due);
CREATE INDEX dirty_tree ON leat.dirty (root_id, object_id);

-- The documents that MongoDB holds.
CREATE TABLE leat.documents (
	object_id bigint NOT NULL,
	half      text NOT NULL,
	PRIMARY KEY (object_id, half)
);

-- The documents written while their job still runs, so that each counts once.
CREATE TABLE leat.written (
	job_id    uuid NOT NULL,
	object_id bigint NOT NULL,
	half      text NOT NULL,
	PRIMARY KEY (job_id, object_id, half)
);

CREATE SEQUENCE leat.rev CACHE 1;

-- What a job came to so far: {"stats": {"new": 3, …}, …}. The ledger keeps the
-- counts of each message by their full names, "stats.new".
-- +goose StatementBegin
CREATE FUNCTION leat.job_counts(job uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
	SELECT coalesce(jsonb_object_agg(thing, counts), '{}') FROM (
		SELECT split_part(name, '.', 1) AS thing, jsonb_object_agg(split_part(name, '.', 2), total) AS counts
		FROM (
			SELECT c.key AS name, sum(c.value::bigint) AS total
			FROM leat.ledger l, jsonb_each_text(l.counts) AS c
			WHERE l.job_id = job GROUP BY c.key) AS t
		GROUP BY 1) AS g
$$;
-- +goose StatementEnd
