-- +goose Up

-- Internal: the tokens of OAuth 2, so that one process refreshes them for all.
CREATE TABLE leat.tokens (
	name    text PRIMARY KEY, -- hash of who asks whom for what
	source  text NOT NULL,
	access  text NOT NULL DEFAULT '',
	refresh text NOT NULL DEFAULT '', -- came with it, and goes over that of the source file
	ends_at timestamptz NOT NULL DEFAULT '1970-01-01'
);
