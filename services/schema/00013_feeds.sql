-- +goose Up

-- The feed that a request is of: those of one feed say nothing of another's.
ALTER TABLE leat.requests ADD COLUMN feed text NOT NULL DEFAULT '';
