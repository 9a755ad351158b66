package main

import (
	"context"
	"os"
	"strconv"

	"github.com/leatflow/leat/services/bench/floor"
)

// A helper is a contestant that is this program itself, in a process of its own
// for each run, so that what it uses is measured as the workers' is.
type helper struct {
	name string
	lab  *lab
	last *process
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
	h.last, err = start(h.lab.folder, h.name, h.lab.env(), self, h.name, strconv.FormatInt(rev+1, 10))
	if err != nil {
		return nil, err
	}
	return nil, h.last.wait(ctx)
}

func (h *helper) processes() []*process { return nil }

// runFloor is the floor's own process.
func runFloor(ctx context.Context, args []string) error {
	rev, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return err
	}
	cfg := floor.Config{Sources: os.Getenv("LEAT_SOURCES"), Source: collection, From: firstDay, To: lastDay, Rev: rev}
	cfg.Postgres.URL, cfg.MongoDB.URL, cfg.MongoDB.Database = os.Getenv("LEAT_POSTGRES_URL"), os.Getenv("LEAT_MONGODB_URL"), os.Getenv("LEAT_MONGODB_DATABASE")
	return floor.Load(ctx, cfg)
}
