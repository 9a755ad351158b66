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
