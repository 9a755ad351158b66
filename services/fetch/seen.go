package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/source"
)

// forgetSeen is the number of days after which an object that is in no answer any
// more would be news again.
const forgetSeen = 30

// A digest names an object, or all that an answer says of one.
type digest [16]byte

// News are the objects of an answer that no poll before has brought so.
type news struct {
	objects map[digest]digest // of the answer: what is said of each by its name
	fresh   map[digest]bool
}

// news reads which objects of a poll's answer are news. All that it says of an
// object counts as one, wherever it stands.
func (s *Stage) news(ctx context.Context, t task, a Answer) (*news, error) {
	n := &news{objects: map[digest]digest{}, fresh: map[digest]bool{}}
	err := t.src.Cut(ctx, s.cuttable(t, a, a.file), func(p event.Part, _ []source.Reject) error { return n.add(p) })
	if err != nil {
		return nil, err
	}
	seen, err := readSeen(ctx, s.DB, t, n.names())
	if err != nil {
		return nil, err
	}
	for name, said := range n.objects {
		before, known := seen[name]
		n.fresh[name] = !known || t.src.Fetch.Poll.Seen == source.SeenHash && before != said
	}
	return n, nil
}

func (n *news) names() [][]byte {
	names := make([][]byte, 0, len(n.objects))
	for _, name := range slices.SortedFunc(maps.Keys(n.objects), func(a, b digest) int { return slices.Compare(a[:], b[:]) }) {
		names = append(names, name[:])
	}
	return names
}

// add adds what a part says of its objects.
func (n *news) add(p event.Part) error {
	stats := make([][]event.Stat, len(p.Objects))
	for _, stat := range p.Stats {
		of := stat.Object
		stat.Object = 0
		stats[of] = append(stats[of], stat)
	}
	for i, o := range p.Objects {
		if !o.Described && stats[i] == nil {
			continue
		}
		name := nameOf(o)
		var parent digest
		if o.Parent > 0 {
			parent = nameOf(p.Objects[o.Parent-1])
		}
		o.Parent = 0
		said, err := json.Marshal([]any{n.objects[name], parent, o, stats[i]})
		if err != nil {
			return err
		}
		n.objects[name] = hashed(said)
	}
	return nil
}

func nameOf(o event.Object) digest { return hashed([]byte(o.Type + "\x00" + o.Key)) }

func hashed(text []byte) digest {
	sum := sha256.Sum256(text)
	return digest(sum[:16])
}

// of is what is news in a part. Other objects are only named, where one that is
// news stands below them. Without news all of it is.
func (n *news) of(p event.Part) event.Part {
	if n == nil {
		return p
	}
	parents := map[int]bool{}
	for _, o := range p.Objects {
		if n.fresh[nameOf(o)] && o.Parent > 0 {
			parents[o.Parent-1] = true
		}
	}
	at, objects := make(map[int]int, len(p.Objects)), []event.Object(nil)
	for i, o := range p.Objects {
		fresh := n.fresh[nameOf(o)]
		if !fresh && !parents[i] {
			continue
		}
		if fresh && o.Parent > 0 {
			o.Parent = at[o.Parent-1] + 1
		} else {
			o.Parent = 0
		}
		if !fresh {
			o = event.Object{Type: o.Type, Key: o.Key}
		}
		at[i], objects = len(objects), append(objects, o)
	}
	var stats []event.Stat
	for _, stat := range p.Stats {
		if n.fresh[nameOf(p.Objects[stat.Object])] {
			stat.Object = at[stat.Object]
			stats = append(stats, stat)
		}
	}
	p.Objects, p.Stats = objects, stats
	return p
}

func readSeen(ctx context.Context, db *pgxpool.Pool, t task, names [][]byte) (map[digest]digest, error) {
	rows, err := db.Query(ctx, `SELECT key, digest FROM seen WHERE source = $1 AND account = $2 AND key = ANY($3)`, t.src.Name, t.reader(), names)
	if err != nil {
		return nil, postgres.Classify(err)
	}
	seen := make(map[digest]digest, len(names))
	var name, said []byte
	_, err = pgx.ForEachRow(rows, []any{&name, &said}, func() error {
		seen[digest(name)] = digest(said)
		return nil
	})
	return seen, postgres.Classify(err)
}

// keep remembers the objects of the answer, with what was said of those that were
// news, and forgets those that have been in none for long.
func (n *news) keep(ctx context.Context, tx pgx.Tx, t task) error {
	fresh, said := [][]byte{}, [][]byte{}
	names := n.names()
	for _, name := range names {
		if n.fresh[digest(name)] {
			of := n.objects[digest(name)]
			fresh, said = append(fresh, name), append(said, of[:])
		}
	}
	_, err := tx.Exec(ctx, `
		WITH new AS (
			INSERT INTO seen (source, account, key, digest)
			SELECT $1, $2, n.* FROM unnest($3::bytea[], $4::bytea[]) AS n
			ON CONFLICT (source, account, key) DO UPDATE SET digest = excluded.digest, at = now()
		), again AS (
			UPDATE seen SET at = now()
			WHERE source = $1 AND account = $2 AND key = ANY($5) AND key <> ALL($3) AND at < now() - interval '1 day'
		)
		DELETE FROM seen WHERE source = $1 AND account = $2 AND at < now() - $6 * interval '1 day' AND key <> ALL($5)`,
		t.src.Name, t.reader(), fresh, said, names, forgetSeen)
	return err
}
