-- +goose Up

-- How many attempts a message has used up, beside the starts from which no worker
-- came back. A column with a constant default is no rewrite of the table.
ALTER TABLE leat.ledger ADD COLUMN attempts int NOT NULL DEFAULT 0;
