-- +goose Up

-- Internal: the raw answers that the archive holds. A row is there before the
-- bytes are, and goes after them.
CREATE TABLE leat.archive (
	hash  text PRIMARY KEY,
	bytes bigint NOT NULL,
	until timestamptz NOT NULL -- as who wants it longest has it
);
CREATE INDEX archive_until ON leat.archive (until);

-- Internal: what they answer, as it was last.
CREATE TABLE leat.archive_index (
	hash        text NOT NULL REFERENCES leat.archive ON DELETE CASCADE,
	source      text NOT NULL,
	account     text NOT NULL,
	feed        text NOT NULL,
	url         text NOT NULL,
	format      text NOT NULL,
	observed_at timestamptz NOT NULL,
	PRIMARY KEY (hash, source, account, feed)
);

ALTER TABLE leat.answers
	ADD COLUMN account text, -- null: it was not kept
	ADD COLUMN feed text,    -- likewise
	ADD COLUMN list boolean NOT NULL DEFAULT false; -- of what changed: it holds no records
CREATE INDEX answers_bytes ON leat.answers (hash);

-- Nobody said how long these are kept.
INSERT INTO leat.archive (hash, bytes, until) SELECT hash, max(bytes), 'infinity' FROM leat.answers GROUP BY hash;
