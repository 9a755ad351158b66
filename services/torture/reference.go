package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/client"
	"github.com/leatflow/leat/services/fetch"
	"github.com/leatflow/leat/services/lab"
)

// compare fails unless rows and documents agree with one another, as leat check
// finds them, with the feed, and with those of a fresh Leat that fetches what the sources say now.
func (h *harness) compare(ctx context.Context) error {
	if err := check(ctx, h.lab); err != nil {
		return err
	}
	if err := h.verifyFeed(ctx); err != nil {
		return err
	}
	got, err := state(ctx, h.lab)
	if err != nil {
		return err
	}
	want, err := h.reference(ctx)
	if err != nil {
		return fmt.Errorf("the run without faults: %w", err)
	}
	return differences(got, want)
}

// differences names the first lines that differ.
func differences(got, want []string) error {
	count := map[string]int{}
	for _, line := range got {
		count[line]++
	}
	for _, line := range want {
		count[line]--
	}
	var wrong []string
	for line, n := range count {
		for ; n > 0; n-- {
			wrong = append(wrong, "is:     "+line)
		}
		for ; n < 0; n++ {
			wrong = append(wrong, "should: "+line)
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.SortFunc(wrong, func(a, b string) int { return strings.Compare(a[8:], b[8:]) })
	return fmt.Errorf("%d lines differ from the run without faults; the first:\n%s", len(wrong), strings.Join(wrong[:min(len(wrong), 12)], "\n"))
}

// check is `leat check`.
func check(ctx context.Context, l *lab.Lab) error {
	c, err := client.Open(ctx, l.Cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	var found []string
	checked, err := c.Check(ctx, client.Checking{}, func(d client.Difference) { found = append(found, d.Text) })
	if err != nil {
		return fmt.Errorf("leat check: %w", err)
	}
	if checked.Differences > 0 || checked.Passed > 0 {
		return fmt.Errorf("leat check: %d differences, %d of them marked; the first: %s", checked.Differences+checked.Passed, checked.Passed, strings.Join(found[:min(len(found), 5)], "\n"))
	}
	return nil
}

// reference is what a fresh Leat holds that fetched the sources once, in peace.
func (h *harness) reference(ctx context.Context) (lines []string, err error) {
	l, err := h.newLab(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	var all []*worker
	defer func() {
		for _, w := range all {
			w.stop()
		}
	}()
	for _, stage := range stages {
		w, err := h.newWorker(stage, 0, l.Folder, l.Env())
		if err != nil {
			return nil, err
		}
		if err := w.run(); err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	broker := rabbit.New(l.Cfg.RabbitMQ, func(string, error) {})
	defer broker.Close()
	var ids []string
	for _, job := range h.sources.jobs() {
		parsed, err := fetch.ParseJob([]byte(job))
		if err != nil {
			return nil, err
		}
		e := pipeline.Envelope{ID: uuid.NewString(), Kind: event.KindJob, Queue: rabbit.Fetch, At: time.Now(), Body: json.RawMessage(job)}
		ids = append(ids, fetch.JobID(parsed.Source, e.ID))
		if err := broker.Publish(ctx, []pipeline.Envelope{e}); err != nil {
			return nil, err
		}
	}
	for deadline := time.Now().Add(time.Minute); ; pause(ctx, 20*time.Millisecond) {
		var done int
		if err := l.DB.QueryRow(ctx, `SELECT count(*) FROM jobs WHERE state = 'done' AND id = ANY($1::uuid[])`, ids).Scan(&done); err != nil {
			return nil, err
		}
		if done == len(ids) {
			return state(ctx, l)
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%d of %d jobs were done after a minute", done, len(ids))
		}
	}
}

// state is all that a lab holds, a line for each row and document, but for what
// is of the run alone: ids, times and revs. A stat without a metric, which was
// zeroed, is as none.
func state(ctx context.Context, l *lab.Lab) ([]string, error) {
	rows, err := l.DB.Query(ctx, `
		SELECT 'object ' || jsonb_build_array(o.source, o.type, o.key, p.type, p.key, o.depth, o.name, o.attrs, t.tags)::text
		FROM objects o LEFT JOIN objects p ON p.id = o.parent_id LEFT JOIN tags t ON t.object_id = o.id
		UNION ALL
		SELECT 'stat ' || jsonb_build_array(o.source, o.type, o.key, s.day, s.rule, s.dims, s.metrics, s.hours)::text
		FROM stats s JOIN objects o ON o.id = s.object_id WHERE s.metrics <> '{}'`)
	if err != nil {
		return nil, err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	for _, source := range sourceNames {
		documents, err := documents(ctx, l, source)
		if err != nil {
			return nil, err
		}
		lines = append(lines, documents...)
	}
	return lines, nil
}

func documents(ctx context.Context, l *lab.Lab, source string) (lines []string, err error) {
	cursor, err := l.Docs.Collection(source).Find(ctx, bson.M{"gone": bson.M{"$exists": false}})
	if err != nil {
		return nil, err
	}
	var all []bson.M
	if err := cursor.All(ctx, &all); err != nil {
		return nil, err
	}
	for _, d := range all {
		delete(d, "rev")
		text, err := json.Marshal(lab.Sorted(d))
		if err != nil {
			return nil, err
		}
		lines = append(lines, "document "+source+" "+string(text))
	}
	return lines, nil
}
