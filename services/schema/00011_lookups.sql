-- +goose Up

-- Internal: what hosts answered to the http() of annotators, for all processes.
CREATE TABLE leat.lookups (
	hash   bytea PRIMARY KEY, -- of the source and the address
	source text NOT NULL,
	url    text NOT NULL,
	status int NOT NULL,      -- 404, 410 and 204 say that there is nothing
	json   boolean NOT NULL,
	answer bytea,
	at     timestamptz NOT NULL DEFAULT now(),
	until  timestamptz NOT NULL -- asked again after that
);
CREATE INDEX lookups_until ON leat.lookups (until);

-- Why tags are missing, or are still those of before: {"grade": "… answered 503"}.
ALTER TABLE leat.tags
	ADD COLUMN failed jsonb,
	ADD COLUMN retry boolean NOT NULL DEFAULT false; -- another try may give one of them

-- leat source reannotate makes jobs too.
ALTER TABLE leat.jobs DROP CONSTRAINT jobs_mode_check;
ALTER TABLE leat.jobs ADD CONSTRAINT jobs_mode_check CHECK (mode IN ('refresh', 'backfill', 'full', 'url', 'repair', 'reannotate')) NOT VALID;
