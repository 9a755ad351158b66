-- +goose Up

-- When a job last began under a version after one of another: while the file is
-- broken, jobs go on under the newest of these.
ALTER TABLE leat.source_versions ADD COLUMN taken_at timestamptz;

-- What is worth knowing of how a job ran.
ALTER TABLE leat.jobs ADD COLUMN note text;

-- Source files that are broken, as the hosts of fetch see them.
CREATE TABLE leat.source_problems (
	source  text NOT NULL,
	host    text NOT NULL,
	problem text NOT NULL,
	since   timestamptz NOT NULL DEFAULT now(),
	seen_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (source, host)
);
