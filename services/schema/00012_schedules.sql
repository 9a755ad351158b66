-- +goose Up

-- Internal: when each schedule of a source file was due last, and what was made of it.
CREATE TABLE leat.schedules (
	source       text NOT NULL,
	rule         text NOT NULL,        -- as leat source explain says it
	due          timestamptz NOT NULL, -- it is seen to up to here
	job_id       uuid,                 -- the last one that was published
	job          text NOT NULL DEFAULT '', -- its body
	published_at timestamptz,
	skipped      int NOT NULL DEFAULT 0, -- times since then at which it was still at work
	PRIMARY KEY (source, rule)
);
