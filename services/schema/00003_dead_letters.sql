-- +goose Up

-- Public: the messages that stages gave up. leat-console files each once.
CREATE TABLE leat.dead_letters (
	id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	stage        text NOT NULL,
	message_id   text NOT NULL,
	replay       int NOT NULL,           -- how often it had been brought back when it died
	job_id       uuid,
	source       text NOT NULL,
	type         text NOT NULL,
	origin_queue text NOT NULL,          -- '': no queue takes it back
	body         bytea NOT NULL,         -- decompressed
	headers      jsonb NOT NULL,         -- with AMQP's properties
	error        text NOT NULL,
	error_class  text NOT NULL,
	fingerprint  text NOT NULL,          -- the same for the same cause
	attempts     int NOT NULL,
	died_at      timestamptz NOT NULL,
	filed_at     timestamptz NOT NULL DEFAULT now(),
	first_id     bigint REFERENCES leat.dead_letters, -- the message's first death, if this is a later one
	edited_body  bytea,
	edited_id    text,                   -- the message that takes its place
	edited_at    timestamptz,
	dropped_at   timestamptz,
	replay_id    bigint,
	replayed_at  timestamptz,
	state        text NOT NULL GENERATED ALWAYS AS (CASE
		WHEN replayed_at IS NOT NULL THEN 'replayed'
		WHEN replay_id IS NOT NULL THEN 'replaying'
		WHEN dropped_at IS NOT NULL THEN 'dropped'
		ELSE 'dead' END) STORED,
	UNIQUE (stage, message_id, replay)
);
CREATE INDEX dead_letters_state ON leat.dead_letters (state, id);
CREATE INDEX dead_letters_group ON leat.dead_letters (fingerprint, id);
CREATE INDEX dead_letters_job ON leat.dead_letters (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX dead_letters_first ON leat.dead_letters (first_id) WHERE first_id IS NOT NULL;
CREATE INDEX dead_letters_edited ON leat.dead_letters (edited_id) WHERE edited_id IS NOT NULL;
CREATE INDEX dead_letters_replay ON leat.dead_letters (replay_id, id) WHERE replay_id IS NOT NULL;

-- Internal: dead letters on their way back. Which ones: dead_letters.replay_id.
CREATE TABLE leat.replays (
	id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	state       text NOT NULL CHECK (state IN ('running', 'paused', 'cancelled', 'done')),
	rate        int NOT NULL,            -- messages a second; 0: as fast as it goes
	total       int NOT NULL DEFAULT 0,
	sent        int NOT NULL DEFAULT 0,
	next_at     timestamptz NOT NULL DEFAULT now(), -- not before, for the rate's sake
	who         text NOT NULL,
	why         text NOT NULL,
	error       text,                    -- why it was paused, if nobody did
	created_at  timestamptz NOT NULL DEFAULT now(),
	finished_at timestamptz
);
CREATE INDEX replays_running ON leat.replays (next_at, id) WHERE state = 'running';
ALTER TABLE leat.dead_letters ADD FOREIGN KEY (replay_id) REFERENCES leat.replays;

-- Public: who did what to the installation, and why.
CREATE TABLE leat.audit (
	id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at      timestamptz NOT NULL DEFAULT now(),
	who     text NOT NULL,
	via     text NOT NULL,               -- cli or http
	action  text NOT NULL,
	subject text NOT NULL,
	why     text NOT NULL,
	detail  jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_subject ON leat.audit (subject);
