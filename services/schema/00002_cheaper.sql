-- +goose Up

-- A mark names the days of all half-years at once, as numbers (days since
-- 1970-01-01), so that an object has one row where it had one for each of its
-- documents. Stop the workers first: those of the version before do not know
-- these columns.

ALTER TABLE leat.dirty ADD COLUMN self boolean NOT NULL DEFAULT false; -- the object's own fields differ: all its documents
ALTER TABLE leat.dirty RENAME COLUMN days TO dates;
ALTER TABLE leat.dirty ADD COLUMN days int[]; -- null: all days
UPDATE leat.dirty SET self = (half = ''), days = ARRAY(SELECT d - DATE '1970-01-01' FROM unnest(dates) AS d) WHERE dates IS NOT NULL;
ALTER TABLE leat.dirty DROP COLUMN dates;
ALTER TABLE leat.dirty DROP CONSTRAINT dirty_pkey;
DROP INDEX leat.dirty_object;
ALTER TABLE leat.dirty ADD PRIMARY KEY (object_id, id);

-- Internal: digests of what was said last, while the rows say the same. What
-- describes an object:
ALTER TABLE leat.objects ADD COLUMN told bigint;

-- and its stats: eight bytes for each day of a month, zeros where it is not known.
CREATE TABLE leat.told (
	object_id bigint NOT NULL,
	month     int NOT NULL, -- its first day, from 1970-01-01 on
	days      bytea NOT NULL,
	PRIMARY KEY (object_id, month)
);

-- Internal: false while a parent that was made ahead of its part's transaction
-- has been reported to nobody.
ALTER TABLE leat.objects ADD COLUMN announced boolean NOT NULL DEFAULT true;
