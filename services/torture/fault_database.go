package main

import (
	"context"
	"math/rand/v2"
	"time"
)

var databaseFaults = []fault{
	{kind: "terminate", lane: "network", weight: 2, do: func(h *harness, ctx context.Context, r *rand.Rand) error {
		var n int
		err := h.lab.DB.QueryRow(ctx, `
			SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name LIKE 'leat-%' AND random() < $1`, []float64{0.1, 0.5, 1}[r.IntN(3)]).Scan(&n)
		if err == nil && n == 0 {
			return errNot
		}
		return err
	}},
	{kind: "disk-full", lane: "network", weight: 2, do: refusing("53100", 4*time.Second)},
	{kind: "deadlock", lane: "network", weight: 1, do: refusing("40P01", 300*time.Millisecond)},
}

// prepareDisk has PostgreSQL refuse inserts with the SQLSTATE that stands in a
// table, if one does: a full disk cannot be had without harm to others.
func (h *harness) prepareDisk(ctx context.Context) error {
	_, err := h.lab.DB.Exec(ctx, `
		CREATE TABLE public.torture_refusal (state text);
		CREATE FUNCTION public.torture_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
		DECLARE refusal text := (SELECT max(state) FROM public.torture_refusal);
		BEGIN
			IF refusal IS NOT NULL THEN
				RAISE EXCEPTION 'could not extend file: refused by the torture' USING ERRCODE = refusal;
			END IF;
			RETURN NULL;
		END $$;
		DO $$
		DECLARE t text;
		BEGIN
			FOREACH t IN ARRAY ARRAY['objects', 'stats', 'tags', 'dirty', 'ledger', 'answers', 'jobs', 'documents'] LOOP
				EXECUTE format('CREATE TRIGGER torture AFTER INSERT OR UPDATE ON leat.%I FOR EACH STATEMENT EXECUTE FUNCTION public.torture_refuse()', t);
			END LOOP;
		END $$`)
	return err
}

// refusing is a fault in which PostgreSQL refuses to write, for at most so long.
func refusing(state string, most time.Duration) func(*harness, context.Context, *rand.Rand) error {
	return func(h *harness, ctx context.Context, r *rand.Rand) error {
		if _, err := h.lab.DB.Exec(ctx, `INSERT INTO public.torture_refusal VALUES ($1)`, state); err != nil {
			return err
		}
		pause(ctx, between(r, most/5, most))
		return h.insist(context.WithoutCancel(ctx), "let PostgreSQL write", func() error {
			_, err := h.lab.DB.Exec(context.WithoutCancel(ctx), `DELETE FROM public.torture_refusal`)
			return err
		})
	}
}
