package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/services/catalog"
	"github.com/leatflow/leat/services/fetch"
	"github.com/leatflow/leat/services/schema"
)

// A bench is a folder of source files, a database, and a broker that keeps what
// is published.
type bench struct {
	t      testing.TB
	db     *pgxpool.Pool
	folder string

	mu        sync.Mutex
	published []fetch.Job
	fails     bool
	slow      time.Duration
	outcomes  []string
}

func newBench(t testing.TB) *bench {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Config{URL: pipetest.Postgres(t), MaxConns: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := postgres.Migrate(t.Context(), db, schema.FS); err != nil {
		t.Fatal(err)
	}
	return &bench{t: t, db: db, folder: t.TempDir()}
}

// schedule writes the source file of ads.
func (b *bench) schedule(text string) {
	b.t.Helper()
	text = "source: ads\nhttp: {base_url: https://a.example}\nfetch: {report: {path: /r}}\nrecords: [{object: {type: a, key: id}}]\n" + text + "\n"
	if err := os.WriteFile(filepath.Join(b.folder, "ads.yaml"), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// Publish implements pipeline.Sink.
func (b *bench) Publish(_ context.Context, out []pipeline.Envelope) error {
	time.Sleep(b.slow)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails {
		return pipeline.Unavailable(errors.New("the broker is away"))
	}
	for _, e := range out {
		j, err := fetch.ParseJob(e.Body)
		if err != nil {
			return err
		}
		b.published = append(b.published, j)
	}
	return nil
}

// process returns the scheduler of another process.
func (b *bench) process() *Scheduler {
	return &Scheduler{
		DB: b.db, Sources: catalog.New(b.db), Sink: b, Folder: b.folder, Queue: "leat.fetch", Told: func(error) {}, Log: zap.NewNop(),
		Count: func(outcome string) { b.mu.Lock(); b.outcomes = append(b.outcomes, outcome); b.mu.Unlock() },
	}
}

// take returns the ids that were published since the last call, and what else came of what was due.
func (b *bench) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var lines []string
	for _, j := range b.published {
		lines = append(lines, j.ID)
	}
	for _, o := range b.outcomes {
		if o != Published {
			lines = append(lines, o)
		}
	}
	b.published, b.outcomes = nil, nil
	return strings.Join(lines, ", ")
}

func (b *bench) look(s *Scheduler) string {
	b.t.Helper()
	if err := s.Look(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	return b.take()
}

func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.db.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

// taken has fetch take the last job that was published.
func (b *bench) taken(state string) {
	b.t.Helper()
	b.exec(`INSERT INTO jobs (id, source, mode, params, via, state) SELECT job_id, source, 'refresh', job::jsonb, 'queue', $1 FROM schedules
		ON CONFLICT (id) DO UPDATE SET state = excluded.state`, state)
}

// earlier moves what is on record into the past.
func (b *bench) earlier(by string) {
	b.t.Helper()
	b.exec(`UPDATE schedules SET due = due - $1::interval, published_at = published_at - $1::interval`, by)
}

func today() string { return time.Now().UTC().Truncate(24 * time.Hour).Format(time.RFC3339) }

func TestATimeIsPublishedOnceByHoweverManySchedulers(t *testing.T) {
	b := newBench(t)
	b.schedule("schedule: [{every: 24h}, {every: 24h, mode: backfill}, {cron: '0 0 1 1 *'}]")
	b.slow = 100 * time.Millisecond // so that the others come meanwhile
	want := []string{"schedule/backfill every 24h/" + today(), "schedule/refresh every 24h/" + today()}
	for _, round := range []string{"new ones", "ones on record"} {
		var running sync.WaitGroup
		for range 4 {
			running.Go(func() {
				s := b.process()
				for range 2 {
					if err := s.Look(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		running.Wait()
		ids := strings.Split(b.take(), ", ")
		slices.Sort(ids)
		if !slices.Equal(ids, want) {
			t.Errorf("of %s: published %q, want %q: by cron nothing is due before its time", round, ids, want)
		}
		b.exec(`INSERT INTO jobs (id, source, mode, params, via, state) SELECT job_id, source, 'refresh', '{}', 'test', 'done' FROM schedules WHERE job_id IS NOT NULL ON CONFLICT DO NOTHING`)
		b.exec(`UPDATE schedules SET due = due - interval '1 day' WHERE job_id IS NOT NULL`)
	}
}

func TestWhatWasMissedIsRunOnce(t *testing.T) {
	b := newBench(t)
	b.schedule("schedule: [{every: 24h}, {cron: '0 0 * * *'}]")
	b.look(b.process())
	b.earlier("5 days")
	got := b.look(b.process())
	if want := fmt.Sprintf("schedule/refresh every 24h/%[1]s, schedule/refresh cron 0 0 * * */%[1]s", today()); got != want {
		t.Errorf("published %q, want %q", got, want)
	}
	if again := b.look(b.process()); again != "" {
		t.Errorf("then %q", again)
	}
}

func TestAJobThatIsAtWorkIsNotPiledUpon(t *testing.T) {
	b := newBench(t)
	b.schedule("schedule: [{every: 24h}]")
	first := b.look(b.process())
	for _, step := range []struct{ name, state, age, want string }{
		{"it waits in its queue", "", "1 second", Skipped},
		{"nobody has taken it for long: it may be lost", "", "11 minutes", first + ", " + Again},
		{"it runs", "running", "11 minutes", Skipped},
		{"it is to run", "queued", "11 minutes", Skipped},
		{"it has failed", "failed", "1 second", first},
	} {
		t.Run(step.name, func(t *testing.T) {
			b.exec(`UPDATE schedules SET due = '2026-01-01', published_at = now() - $1::interval`, step.age)
			if step.state != "" {
				b.taken(step.state)
			}
			if got := b.look(b.process()); got != step.want {
				t.Errorf("got %q, want %q", got, step.want)
			}
		})
	}
	b.exec(`UPDATE schedules SET due = '2026-01-01', published_at = now() - interval '31 days'`)
	b.exec(`DELETE FROM jobs`)
	if got := b.look(b.process()); got != first {
		t.Errorf("of a job that is forgotten: %q, want a new one", got)
	}
}

// Who dies after the broker has the job leaves it due: it is published again
// under its id, which is the same job.
func TestWhoDiesBeforeItIsOnRecordPublishesTheSameJob(t *testing.T) {
	b := newBench(t)
	b.schedule("schedule: [{every: 24h}]")
	b.exec(`ALTER TABLE schedules ADD CONSTRAINT away CHECK (job_id IS NULL)`)
	if err := b.process().Look(t.Context()); err == nil {
		t.Fatal("nothing failed")
	}
	first := b.take()
	b.exec(`ALTER TABLE schedules DROP CONSTRAINT away`)
	if again := b.look(b.process()); again != first || first == "" {
		t.Errorf("first %q, then %q", first, again)
	}
}

func TestWhileTheBrokerIsAwayATimeStaysDue(t *testing.T) {
	b := newBench(t)
	b.schedule("schedule: [{every: 24h}]")
	s := b.process()
	b.fails = true
	if err := s.Look(t.Context()); err == nil || !strings.Contains(err.Error(), "source ads, refresh every 24h") {
		t.Errorf("got %v", err)
	}
	b.fails = false
	if got := b.look(s); got != "schedule/refresh every 24h/"+today() {
		t.Errorf("then %q", got)
	}
}

func TestABrokenFileKeepsItsSchedule(t *testing.T) {
	b := newBench(t)
	b.schedule("schedule: [{every: 24h}]")
	s := b.process()
	b.look(s)
	b.schedule("schedul: []")
	b.taken("done")
	b.earlier("2 days")
	if got := b.look(s); got != "schedule/refresh every 24h/"+today() {
		t.Errorf("published %q", got)
	}
	if got := b.look(b.process()); got != "" {
		t.Errorf("by one that never saw the file sound: %q", got)
	}
	b.schedule("")
	b.earlier("2 days")
	if got := b.look(s); got != "" {
		t.Errorf("without a schedule: %q", got)
	}
}

func TestWhatIsPublishedIsAJob(t *testing.T) {
	b := newBench(t)
	b.schedule("timezone: Asia/Kathmandu\nschedule: [{cron: '" + strings.Repeat(" ", 40) + "0 6 * * *', mode: full}]")
	s := b.process()
	b.look(s)
	b.earlier("3 days")
	if err := b.process().Look(t.Context()); err != nil || len(b.published) != 1 {
		t.Fatalf("%v, %+v", err, b.published)
	}
	j := b.published[0]
	text, _ := json.Marshal(j)
	if !strings.HasSuffix(j.ID, "T00:15:00Z") || j.Source != "ads" || j.Mode != "full" {
		t.Errorf("published %s; six o'clock there is 00:15 UTC", text)
	}
}
