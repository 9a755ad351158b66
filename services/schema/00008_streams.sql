-- +goose Up

-- Internal: who reads the stream of an account, or polls it. It is a job's for as
-- long as that runs, and in the hands of one worker for as long as that says so.
CREATE TABLE leat.streams (
	source     text NOT NULL,
	account    text NOT NULL,
	job_id     uuid NOT NULL,
	message_id text NOT NULL, -- the slice that reads it; '' until there is one
	holder     uuid,          -- the worker's turn with that slice
	until      timestamptz NOT NULL,
	began      timestamptz NOT NULL,                        -- the slice
	due        timestamptz NOT NULL DEFAULT '1970-01-01',   -- the next poll
	version    text NOT NULL DEFAULT '',                    -- of the source file, for which the last poll's answer says what is known
	etag       text NOT NULL DEFAULT '',
	modified   text NOT NULL DEFAULT '',
	hash       text NOT NULL DEFAULT '',
	PRIMARY KEY (source, account)
);

-- Where a stream goes on after an answer of it.
ALTER TABLE leat.answers ADD COLUMN position text;

-- Internal: what polls have brought already.
CREATE TABLE leat.seen (
	source  text NOT NULL,
	account text NOT NULL,
	key     bytea NOT NULL, -- of an object: the first 16 bytes of a hash
	digest  bytea NOT NULL, -- of all that was said of it last
	at      timestamptz NOT NULL DEFAULT now(), -- when it was in an answer, to the day
	PRIMARY KEY (source, account, key)
);
CREATE INDEX seen_at ON leat.seen (source, account, at);
