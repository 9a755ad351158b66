-- +goose Up

-- What a person said of a job that runs: fetch reads it before it begins a slice.
ALTER TABLE leat.jobs ADD COLUMN halt text CHECK (halt IN ('paused', 'cancelled'));
