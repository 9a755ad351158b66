package client

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// looked returns the ids of the objects that a check of a day looks at.
func (i *installation) looked(what Checking, day int64) (ids []int64) {
	i.t.Helper()
	k := &check{Client: i.Client, what: what, day: day}
	if err := k.pages(i.t.Context(), "shop", func(objects []object) error {
		for _, o := range objects {
			ids = append(ids, o.id)
		}
		return nil
	}); err != nil {
		i.t.Fatal(err)
	}
	if !slices.IsSorted(ids) {
		i.t.Errorf("objects come in the order %v", ids)
	}
	return ids
}

func TestASampleIsAnotherEachDayAndComesToAll(t *testing.T) {
	i := installed(t)
	i.exec(`
		INSERT INTO leat.objects (source, type, key, depth, name, observed_at)
		SELECT 'shop', 'photo', 'p' || n, 0, '', now() FROM generate_series(1, 2000) AS n`)
	if n := len(i.looked(Checking{}, 1)); n != 2000 {
		t.Errorf("all are %d objects, want 2000", n)
	}
	for _, sample := range []Sample{{Share: 0.1}, {Count: 200}} {
		first, again, next := i.looked(Checking{Sample: sample}, 1), i.looked(Checking{Sample: sample}, 1), i.looked(Checking{Sample: sample}, 2)
		if len(first) < 140 || len(first) > 260 {
			t.Errorf("%+v: %d objects, want about 200", sample, len(first))
		}
		if !slices.Equal(first, again) || slices.Equal(first, next) {
			t.Errorf("%+v: the same day has the same objects: %v; another day too: %v", sample, slices.Equal(first, again), slices.Equal(first, next))
		}
	}
	seen := map[int64]bool{}
	for day := range int64(60) {
		for _, id := range i.looked(Checking{Sample: Sample{Share: 0.1}}, day) {
			seen[id] = true
		}
	}
	if len(seen) < 1980 {
		t.Errorf("60 days saw %d of 2000 objects", len(seen))
	}
	if n := len(i.looked(Checking{Sample: Sample{Count: 5000}}, 1)); n != 2000 {
		t.Errorf("a sample of more than there are has %d objects", n)
	}
}

// changed writes what delta says that changed.
func (i *installation) changed(ago time.Duration, ids ...int64) {
	i.t.Helper()
	var list []string
	for _, id := range ids {
		list = append(list, fmt.Sprintf("[%d,2]", id))
	}
	i.exec(`
		INSERT INTO leat.ledger (stage, message_id, job_id, source, state, outputs, done_at)
		SELECT 'delta', gen_random_uuid()::text, $1, 'shop', 'done', jsonb_build_array(jsonb_build_object('id', 'x', 'body', jsonb_build_object('objects', $2::jsonb))), now() - $3::interval`,
		openJob, "["+strings.Join(list, ",")+"]", ago)
}

func TestSinceLooksAtWhatChangedAndWhatStandsAboveIt(t *testing.T) {
	i := installed(t)
	i.fill()
	i.changed(time.Minute, 2)
	i.changed(2*time.Hour, 3)
	for name, test := range map[string]struct {
		since time.Duration
		want  []int64
	}{
		"an hour":      {time.Hour, []int64{1, 2}},
		"three hours":  {3 * time.Hour, []int64{1, 2, 3}},
		"some seconds": {10 * time.Second, nil},
	} {
		if got := i.looked(Checking{Since: time.Now().Add(-test.since)}, 1); !slices.Equal(got, test.want) {
			t.Errorf("since %s: %v, want %v", name, got, test.want)
		}
	}
	k := &check{Client: i.Client, what: Checking{Since: time.Now().Add(-31 * 24 * time.Hour)}}
	if err := k.pages(t.Context(), "shop", nil); !errors.Is(err, ErrSince) {
		t.Errorf("31 days ago: error %v", err)
	}
	i.exec(`UPDATE leat.objects SET name = 'Pear'`)
	_, texts := i.check(Checking{Since: time.Now().Add(-time.Hour)})
	if len(texts) != 4 || strings.Contains(strings.Join(texts, "\n"), "photo") {
		t.Errorf("found %q, want what differs of the shop and the item alone", texts)
	}
}

func TestManySinceComeInChunks(t *testing.T) {
	i := installed(t)
	i.exec(`
		INSERT INTO leat.objects (source, type, key, depth, name, observed_at)
		SELECT 'shop', 'photo', 'p' || n, 0, '', now() FROM generate_series(1, 1200) AS n`)
	var ids []int64
	for id := range int64(1200) {
		ids = append(ids, id+1)
	}
	i.changed(0, ids...)
	if got := i.looked(Checking{Since: time.Now().Add(-time.Hour)}, 1); !slices.Equal(got, ids) {
		t.Errorf("%d objects, want all 1200, each once", len(got))
	}
}

func TestParseSample(t *testing.T) {
	for text, want := range map[string]Sample{"5%": {Share: 0.05}, "100%": {Share: 1}, "0.1%": {Share: 0.001}, "1000": {Count: 1000}} {
		if got, err := ParseSample(text); got != want || err != nil {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "0%", "101%", "NaN%", "x", "1.5"} {
		if got, err := ParseSample(text); err == nil {
			t.Errorf("%s: %+v, want an error", text, got)
		}
	}
}
