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

-- Internal: a digest of all that the part which spoke of the object last said of
-- it, if the rows say the same; null else.
ALTER TABLE leat.objects ADD COLUMN told bigint;
