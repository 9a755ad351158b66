package e2e

import (
	"encoding/csv"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/leatflow/leat/services/client"
	"github.com/leatflow/leat/services/demosource"
)

// conference serves the make-believe conference and returns a system with the
// shipped source feedapart, pointed at it: twenty messages and a photo a second.
func conference(t *testing.T) *system {
	t.Helper()
	s := newSystem(t)
	platform := httptest.NewServer(demosource.New(demosource.DefaultConfig()))
	t.Cleanup(platform.Close)
	for _, name := range []string{"feedapart.yaml", "sessions.csv"} {
		text, err := os.ReadFile("../../config/sources/" + name)
		if err != nil {
			t.Fatal(err)
		}
		s.source(name, strings.NewReplacer(
			"http://127.0.0.1:8090", platform.URL, "path: /messages", "path: '/messages?every=50ms&lasts=5s'",
			"path: /photos", "path: '/photos?every=1s'", "every: 20s", "every: 1s").Replace(string(text)))
	}
	return s
}

// A conferenceDocument is one of a post or a room.
type conferenceDocument struct {
	Type, Key string
	Path      []string
	Attrs     struct{ At string }
	Tags      struct{ Session string }
	Days      map[string]struct{ M map[string]int64 }
}

func (s *system) conferenceDocuments() (all []conferenceDocument) {
	s.t.Helper()
	cursor, err := s.docs.Collection("feedapart").Find(s.t.Context(), bson.M{})
	if err == nil {
		err = cursor.All(s.t.Context(), &all)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// newest is the number of the newest post of a kind that is in MongoDB.
func (s *system) newest(kind string) (newest int64) {
	for _, d := range s.conferenceDocuments() {
		number, ok := strings.CutPrefix(d.Key, kind)
		if n, err := strconv.ParseInt(number, 10, 64); ok && err == nil {
			newest = max(newest, n)
		}
	}
	return newest
}

// whole checks that of a kind of post each is there that there was between the
// first and the last, and was counted once.
func (s *system) whole(kind, metric string) {
	s.t.Helper()
	got := s.query(`
		SELECT count(*) FILTER (WHERE s.metrics = jsonb_build_object($2::text, 1)) - count(*), max(substr(o.key, 2)::bigint) - min(substr(o.key, 2)::bigint) + 1 - count(*), count(*) > 20
		FROM objects o LEFT JOIN stats s ON s.object_id = o.id WHERE o.type = 'post' AND o.key LIKE $1 || '%'`, kind, metric)
	s.want("posts "+kind+": counted otherwise, missing, enough", got, `[0 0 true]`)
}

func TestAConversationIsLiveAndEachPostOnce(t *testing.T) {
	t.Parallel()
	s := conference(t)
	workers := s.launch()
	s.submit(`{"source":"feedapart"}`)
	s.until(patience, "messages and photos while the stream is open", func() bool { return s.newest("m") > 0 && s.newest("p") > 0 })
	s.want("the job", s.query(`SELECT DISTINCT state FROM jobs`), `["running"]`)
	at := s.newest("m")
	workers[0].signal(syscall.SIGKILL)
	s.query(`UPDATE streams SET until = now() RETURNING 1`) // nobody waits until the dead worker's time is over
	s.until(patience, "messages of after the worker's death", func() bool { return s.newest("m") > at+40 })
	s.until(patience, "the end of what was cancelled", func() bool {
		return len(s.query(`
			WITH asked AS (UPDATE jobs SET halt = 'cancelled' WHERE state IN ('queued', 'running'))
			SELECT 1 FROM jobs WHERE state IN ('queued', 'running') UNION ALL SELECT 1 FROM dirty`)) == 0
	})
	s.whole("m", "messages")
	s.whole("p", "photos")
	s.sessions()
	if _, err := s.client().Check(t.Context(), client.Checking{}, func(d client.Difference) { t.Error(d.Text) }); err != nil {
		t.Error(err)
	}
}

// sessions checks that each document of a post is tagged with what the timetable
// has at its moment in its room, and that the rooms add up.
func (s *system) sessions() {
	s.t.Helper()
	file, err := os.Open("../../config/sources/sessions.csv")
	if err != nil {
		s.t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		s.t.Fatal(err)
	}
	timetable := map[string]string{}
	for _, row := range rows {
		timetable[row[0]] = row[1]
	}
	posts, counted := int64(0), int64(0)
	for _, d := range s.conferenceDocuments() {
		if d.Type == "room" {
			for _, day := range d.Days {
				counted += day.M["messages"] + day.M["photos"]
			}
			continue
		}
		posts++
		slot := strings.TrimPrefix(d.Path[0], "room/") + " " + d.Attrs.At[len("2026-11-20T"):][:2]
		if want := timetable[slot]; want == "" || d.Tags.Session != want {
			s.t.Errorf("%s of %s has session %q, want %q", d.Key, slot, d.Tags.Session, want)
		}
	}
	s.want("posts that the rooms' documents count", counted, posts)
}
