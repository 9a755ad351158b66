package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/mongodb"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/bench/floor"
	"github.com/leatflow/leat/services/bench/rows"
)

// A helper is a contestant that is this program itself, in a process of its own
// for each run, so that what it uses is measured as the workers' is.
type helper struct {
	name    string
	lab     *site
	profile string // file; empty: none
	last    *process
}

// work implements subject.
func (h *helper) work(ctx context.Context) (counts, error) {
	rev, err := h.lab.lastRev(ctx)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	h.last, err = start(h.lab.Folder, h.name, h.lab.Env(), self, h.name, strconv.FormatInt(rev+1, 10), h.profile)
	if err != nil {
		return nil, err
	}
	return nil, h.last.wait(ctx)
}

func (h *helper) processes() []*process { return nil }

// helpers are what this program does when it is started as a helper.
var helpers = map[string]func(context.Context, floor.Target) error{
	"floor": floor.Load,
	"rows": func(ctx context.Context, t floor.Target) error {
		return rows.Load(ctx, rows.Target(t))
	},
}

// help is a helper's process: the rev that its documents get, and where its
// profile goes, follow its name.
func help(ctx context.Context, args []string) (err error) {
	if len(args) != 3 {
		return fmt.Errorf("%s is for the benchmark itself to start", args[0])
	}
	var t floor.Target
	if t.Rev, err = strconv.ParseInt(args[1], 10, 64); err != nil {
		return err
	}
	if path := args[2]; path != "" {
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		defer file.Close() //nolint:errcheck // what is not written is not in the profile
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	return errors.Join(load(ctx, t, helpers[args[0]]), tellPeak())
}

// tellPeak writes the process's peak as the last that it says. What the kernel
// tells the parent of an ended process has the parent's own size in it.
func tellPeak() error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	mb, err := peakOf(string(status))
	fmt.Println(mb)
	return err
}

// toldPeak reads what tellPeak wrote.
func (p *process) toldPeak() (mb float64, err error) {
	said, err := os.ReadFile(p.log.Name())
	if err != nil {
		return 0, err
	}
	lines := strings.Fields(string(said))
	if len(lines) == 0 {
		return 0, fmt.Errorf("%s said nothing", p.name)
	}
	return strconv.ParseFloat(lines[len(lines)-1], 64)
}

// load opens what the environment names, for f to use.
func load(ctx context.Context, t floor.Target, f func(context.Context, floor.Target) error) (err error) {
	all, err := source.Load(os.Getenv("LEAT_SOURCES"))
	if err != nil {
		return err
	}
	if t.Source = all[collection]; t.Source == nil {
		return errors.New("the source is not there")
	}
	t.Report = func(account string) string { return reportURL(t.Source, account) }
	if t.DB, err = postgres.Open(ctx, postgres.Config{URL: os.Getenv("LEAT_POSTGRES_URL")}); err != nil {
		return err
	}
	defer t.DB.Close()
	if err := makeMonths(ctx, t.DB, firstDay, lastDay); err != nil {
		return err
	}
	documents, err := mongodb.Open(mongodb.Config{URL: os.Getenv("LEAT_MONGODB_URL"), Database: os.Getenv("LEAT_MONGODB_DATABASE")})
	if err != nil {
		return err
	}
	defer documents.Client().Disconnect(context.WithoutCancel(ctx)) //nolint:errcheck // the process ends anyway
	t.Collection = documents.Collection(collection)
	return f(ctx, t)
}

// reportURL is where a source's report of an account is.
func reportURL(s *source.Source, account string) string {
	fill := strings.NewReplacer("{account}", account, "{from}", firstDay, "{to}", lastDay)
	return s.HTTP.BaseURL + fill.Replace(s.Fetch.Report.Path)
}

// makeMonths makes the partitions of stats that some days need.
func makeMonths(ctx context.Context, db *pgxpool.Pool, from, to string) error {
	first, err := time.Parse(time.DateOnly, from)
	if err != nil {
		return err
	}
	for month := first.AddDate(0, 0, 1-first.Day()); month.Format(time.DateOnly) <= to; month = month.AddDate(0, 1, 0) {
		if _, err := db.Exec(ctx, fmt.Sprintf(`
			CREATE TABLE IF NOT EXISTS stats_%s PARTITION OF stats FOR VALUES FROM ('%s') TO ('%s')`,
			month.Format("2006_01"), month.Format(time.DateOnly), month.AddDate(0, 1, 0).Format(time.DateOnly))); err != nil {
			return err
		}
	}
	return nil
}
