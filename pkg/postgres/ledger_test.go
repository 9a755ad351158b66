package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
)

const stage = "stage"

func message(job, id string) pipeline.Delivery {
	return pipeline.Delivery{Envelope: pipeline.Envelope{ID: id, Job: job, Kind: "leat.part.v1", Queue: "leat.delta"}}
}

func messages(job string, ids ...string) (in pipeline.Batch) {
	for _, id := range ids {
		in = append(in, message(job, id))
	}
	return in
}

// A tally is a stage whose effect is one row a message that it does.
type tally struct {
	db   *pgxpool.Pool
	done [][]string // the ids of each call
}

func tallying(t *testing.T) (*tally, string) {
	db := open(t)
	exec(t, db, `CREATE TABLE effects (id text)`)
	return &tally{db: db}, job(t, db)
}

// work does the messages and emits two outputs for each.
func (c *tally) work(ctx context.Context) func(pgx.Tx, pipeline.Batch) ([]postgres.Result, error) {
	return func(tx pgx.Tx, fresh pipeline.Batch) ([]postgres.Result, error) {
		c.done = append(c.done, fresh.IDs())
		if _, err := tx.Exec(ctx, `INSERT INTO effects SELECT unnest($1::text[])`, fresh.IDs()); err != nil {
			return nil, err
		}
		var results []postgres.Result
		for _, d := range fresh {
			results = append(results, postgres.Result{Outputs: []pipeline.Envelope{output(d.ID, 1), output(d.ID, 2)}})
		}
		return results, nil
	}
}

func output(id string, n int) pipeline.Envelope {
	return pipeline.Envelope{
		ID: fmt.Sprint(id, "/", n), Kind: "leat.changes.v1", Queue: "leat.annotate", Key: "k", Cause: id, Job: "j", Priority: 5,
		At: time.Date(2026, 11, 20, 1, 2, 3, 456789012, time.UTC), Headers: map[string]string{"traceparent": "p"},
		Body: json.RawMessage(`{"n": 12345678901234567890.123456, "z": 1, "a": [1, "ä\\u2028"]}`),
	}
}

func (c *tally) once(t *testing.T, in ...pipeline.Delivery) []pipeline.Envelope {
	t.Helper()
	out, err := postgres.Once(t.Context(), c.db, stage, in, c.work(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (c *tally) effects(t *testing.T) (ids []string) {
	t.Helper()
	rows, err := c.db.Query(t.Context(), `SELECT id FROM effects ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	if ids, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		t.Fatal(err)
	}
	return ids
}

func wantIDs(t *testing.T, what string, got []string, want string) {
	t.Helper()
	if !slices.Equal(got, strings.Fields(want)) {
		t.Errorf("%s: %v, want [%s]", what, got, want)
	}
}

func idsOf(out []pipeline.Envelope) (ids []string) {
	for _, e := range out {
		ids = append(ids, e.ID)
	}
	return ids
}

// sameOutputs compares envelopes by what they say: jsonb writes a body in its
// own order and spacing.
func sameOutputs(t *testing.T, got, want []pipeline.Envelope) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("outputs %v, want %v", idsOf(got), idsOf(want))
	}
	for i := range got {
		if g, w := canonical(t, got[i].Body), canonical(t, want[i].Body); g != w {
			t.Errorf("body of %s:\n%s, want\n%s", got[i].ID, g, w)
		}
		g, w := got[i], want[i]
		g.Body, w.Body = nil, nil
		g.At, w.At = g.At.UTC(), w.At.UTC()
		if !reflect.DeepEqual(g, w) {
			t.Errorf("output\n%+v, want\n%+v", g, w)
		}
	}
}

func canonical(t *testing.T, body []byte) string {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestARedeliveredMessageDoesNoWorkAndReturnsTheSameOutputs(t *testing.T) {
	t.Parallel()
	c, job := tallying(t)
	first := c.once(t, messages(job, "b", "a")...)
	wantIDs(t, "outputs", idsOf(first), "b/1 b/2 a/1 a/2")
	again := c.once(t, messages(job, "b", "a")...)
	sameOutputs(t, again, first)
	if len(c.done) != 1 {
		t.Errorf("work was called %d times: %v", len(c.done), c.done)
	}
	wantIDs(t, "effects", c.effects(t), "a b")

	mixed := c.once(t, messages(job, "c", "a", "d", "b")...)
	wantIDs(t, "outputs of a mixed batch, the done ones first", idsOf(mixed), "a/1 a/2 b/1 b/2 c/1 c/2 d/1 d/2")
	wantIDs(t, "what was fresh of it, in order", c.done[1], "c d")
	wantIDs(t, "effects", c.effects(t), "a b c d")
}

func TestTheLedgerKeepsTheOrderOfALargeBatch(t *testing.T) {
	t.Parallel()
	c, job := tallying(t)
	var ids, outputs []string
	for i := range 500 {
		id := fmt.Sprint((i * 7919) % 500)
		ids, outputs = append(ids, id), append(outputs, id+"/1", id+"/2")
	}
	for range 2 {
		if got := idsOf(c.once(t, messages(job, ids...)...)); !slices.Equal(got, outputs) {
			t.Fatalf("outputs out of order: %v…", got[:6])
		}
	}
	if !slices.Equal(c.done[0], ids) {
		t.Errorf("work saw %v…, want the order of the batch", c.done[0][:6])
	}
}

func TestOneStageDoesWhatAnotherHasDone(t *testing.T) {
	t.Parallel()
	c, job := tallying(t)
	c.once(t, message(job, "a"))
	if _, err := postgres.Once(t.Context(), c.db, "another", messages(job, "a"), c.work(t.Context())); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, "effects", c.effects(t), "a a")
}

func TestTheSameMessageTwiceInABatchIsDoneOnce(t *testing.T) {
	t.Parallel()
	c, job := tallying(t)
	out := c.once(t, messages(job, "a", "b", "a", "a")...)
	wantIDs(t, "outputs", idsOf(out), "a/1 a/2 b/1 b/2")
	wantIDs(t, "effects", c.effects(t), "a b")
}

func TestTwoWorkersWithTheSameMessagesDoThemOnce(t *testing.T) {
	t.Parallel()
	c, job := tallying(t)
	const workers = 4
	var together, all sync.WaitGroup
	together.Add(2) // two are inside their transactions at the same time
	outputs := make([][]pipeline.Envelope, workers)
	for i := range workers {
		all.Go(func() {
			mine := &tally{db: c.db}
			in := messages(job, "a", "b", "c")
			if i%2 == 1 {
				slices.Reverse(in)
			}
			for try := 0; ; try++ {
				var err error
				outputs[i], err = postgres.Once(t.Context(), c.db, stage, in, func(tx pgx.Tx, fresh pipeline.Batch) ([]postgres.Result, error) {
					if i < 2 && try == 0 {
						together.Done()
						together.Wait()
					}
					return mine.work(t.Context())(tx, fresh)
				})
				if err == nil {
					break
				}
				if pipeline.IsPermanent(err) || pipeline.IsUnavailable(err) || try > 5 {
					t.Errorf("worker %d: %v, want an error that is tried again", i, err)
					return
				}
			}
			slices.SortFunc(outputs[i], func(a, b pipeline.Envelope) int { return strings.Compare(a.ID, b.ID) })
		})
		if i == 1 { // the others come when these have met, or they would be first and these find all done
			together.Wait()
		}
	}
	all.Wait()
	wantIDs(t, "effects", c.effects(t), "a b c")
	for i := range workers {
		sameOutputs(t, outputs[i], outputs[0])
	}
}

func TestAnErrorInWorkUndoesAll(t *testing.T) {
	t.Parallel()
	c, job := tallying(t)
	odd := errors.New("odd")
	out, err := postgres.Once(t.Context(), c.db, stage, messages(job, "a"), func(tx pgx.Tx, fresh pipeline.Batch) ([]postgres.Result, error) {
		if _, err := c.work(t.Context())(tx, fresh); err != nil {
			return nil, err
		}
		return nil, odd
	})
	if !errors.Is(err, odd) || out != nil {
		t.Errorf("got %v, %v, want nothing but the error", out, err)
	}
	wantIDs(t, "effects", c.effects(t), "")
	c.once(t, message(job, "a"))
	wantIDs(t, "effects of the next try", c.effects(t), "a")
}

func TestAMessageThatNamesNoJobIsPermanent(t *testing.T) {
	t.Parallel()
	c, job := tallying(t)
	for name, d := range map[string]pipeline.Delivery{
		"a job that is gone":  message(uuid.NewString(), "a"),
		"a job that is no id": message("job", "a"),
		"no job":              message("", "a"),
		"no id":               message(job, ""),
	} {
		_, err := postgres.Once(t.Context(), c.db, stage, pipeline.Batch{message(job, "good"), d}, c.work(t.Context()))
		if !pipeline.IsPermanent(err) {
			t.Errorf("%s: %v, want Permanent", name, err)
		}
	}
	wantIDs(t, "effects", c.effects(t), "")
}

// row is what the ledger holds of a message.
func row(t *testing.T, db *pgxpool.Pool, id string) string {
	t.Helper()
	var state, class, reason string
	var starts, replay int
	scan(t, db, []any{&state, &starts, &replay, &class, &reason},
		`SELECT state, starts, replay, coalesce(error_class, '-'), coalesce(error, '-') FROM ledger WHERE stage = $1 AND message_id = $2`, stage, id)
	return fmt.Sprintf("%s starts=%d replay=%d %s %s", state, starts, replay, class, reason)
}

func TestTheLedgerKeepsWhatAPartSaw(t *testing.T) {
	t.Parallel()
	for _, started := range []bool{false, true} {
		t.Run(fmt.Sprintf("started before: %v", started), func(t *testing.T) {
			db := open(t)
			job := job(t, db)
			at := time.Date(2026, 11, 20, 23, 59, 59, 123456000, time.FixedZone("", 3600))
			next := output("next", 1)
			next.ID, next.Job = "job", "job" // that follows, and which this one does not wait for
			full := postgres.Result{
				Outputs: []pipeline.Envelope{output("a", 1), next}, Names: append(make([]string, 0, 8), "named"),
				Counts: map[string]int{"stats.new": 3}, Source: "ads", ObservedAt: &at,
				Seen: []int64{-1 << 63, 1<<63 - 1, 9007199254740993, 0},
			}
			in := messages(job, "full", "empty", "full too")
			if started {
				for _, d := range in {
					if _, err := (postgres.Ledger{DB: db, Stage: stage}).Start(t.Context(), d.Envelope); err != nil {
						t.Fatal(err)
					}
				}
			}
			_, err := postgres.Once(t.Context(), db, stage, in, func(pgx.Tx, pipeline.Batch) ([]postgres.Result, error) {
				return []postgres.Result{full, {}, full}, nil
			})
			if err != nil {
				t.Fatal(err)
			}

			var (
				source, counts string
				observed       time.Time
				seen           []int64
				names          []string
			)
			scan(t, db, []any{&source, &observed, &seen, &counts, &names},
				`SELECT source, observed_at, seen, counts::text, names FROM ledger WHERE message_id = 'full too'`)
			if source != "ads" || !observed.Equal(at) || !slices.Equal(seen, full.Seen) || counts != `{"stats.new": 3}` {
				t.Errorf("got %s, %s, %v, %s, want what the part saw: ads, %s, %v", source, observed, seen, counts, at, full.Seen)
			}
			wantIDs(t, "names", names, "named a/1")

			var empty string
			scan(t, db, []any{&empty}, `
				SELECT concat_ws(' ', source = '', observed_at IS NULL, seen IS NULL, counts, names, outputs, state)
				FROM ledger WHERE message_id = 'empty'`)
			if want := "t t t {} {} [] done"; empty != want {
				t.Errorf("of nothing the ledger has %q, want %q", empty, want)
			}
		})
	}
}

func TestTheLedgerSaysWhyAndHowOften(t *testing.T) {
	t.Parallel()
	c, job := tallying(t)
	l := postgres.Ledger{DB: c.db, Stage: stage}
	d := message(job, "a")
	says := func(want string) {
		t.Helper()
		var got string
		if err := c.db.QueryRow(t.Context(), `
			SELECT concat_ws(' ', state, error_class, attempts, error) FROM ledger WHERE message_id = 'a'`).Scan(&got); err != nil || got != want {
			t.Errorf("the ledger says %q, %v, want %q", got, err, want)
		}
	}
	for _, why := range []pipeline.Setback{
		{Class: pipeline.ClassRateLimited, Reason: "429"}, {Class: pipeline.ClassFailed, Reason: "odd", Attempts: 1}, {Class: pipeline.ClassFailed, Reason: "odder", Attempts: 2},
	} {
		if err := l.Waits(t.Context(), d.Envelope, why); err != nil {
			t.Fatal(err)
		}
		says(fmt.Sprintf("started %s %d %s", why.Class, why.Attempts, why.Reason))
	}
	if err := l.Dead(t.Context(), d.Envelope, pipeline.Death{Class: pipeline.ClassFailed, Reason: "oddest", Attempts: 3}); err != nil {
		t.Fatal(err)
	}
	says("dead failed 3 oddest")
}
