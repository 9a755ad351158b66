package client

import (
	"bytes"
	"strings"
	"testing"

	"github.com/leatflow/leat/services/archive"
)

func TestAnswersSayHowToCutThemAgain(t *testing.T) {
	i := withJobs(t)
	i.cfg.Archive = t.TempDir()
	const said = "\x00raw postgres://u:p@h/ bytes"
	in, err := archive.New(archive.Folder(i.cfg.Archive)).Take(strings.NewReader(said))
	if err == nil {
		err = archive.New(archive.Folder(i.cfg.Archive)).Put(t.Context(), in)
	}
	if err != nil {
		t.Fatal(err)
	}
	gone := strings.Repeat("0", 64)
	i.exec(`INSERT INTO leat.archive VALUES ($1, 27, 'infinity')`, in.Hash)
	i.exec(`
		INSERT INTO leat.answers (job_id, n, message_id, url, hash, bytes, format, observed_at, asked_at, broken, account, list) VALUES
			($1, 0, 's', 'http://a/', $2, 27, 'json', now(), now(), NULL, 'acme', false),
			($1, 1, 's', 'http://a/', $2, 27, 'json', now(), now(), 'HTML', NULL, false),
			($1, 2, 's', 'http://a/', $2, 27, 'json', now(), now(), NULL, '', true),
			($1, 3, 's', 'http://a/', $3, 27, 'json', now(), now(), NULL, '', false)`, doneJob, in.Hash, gone)
	answers, err := i.Answers(t.Context(), doneJob, 10)
	if err != nil || len(answers) != 4 {
		t.Fatalf("%+v, %v", answers, err)
	}
	for n, want := range []string{`{"source":"ads","url":"archive://` + doneJob + `/0"}`, "", "", ""} {
		if a := answers[n]; string(a.Replay) != want || a.N != n || a.Kept != (n < 3) || a.Until != nil {
			t.Errorf("answer %d: %+v, replay %s, want %s", n, a, a.Replay, want)
		}
	}
	var raw bytes.Buffer
	if err := i.WriteAnswer(t.Context(), doneJob, 0, &raw); err != nil || raw.String() != said {
		t.Errorf("%q, %v", raw.String(), err)
	}
	for n, says := range map[int]string{3: "is not in the archive " + i.cfg.Archive, 9: "has no answer 9"} {
		if err := i.WriteAnswer(t.Context(), doneJob, n, &raw); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("answer %d: %v, want %s", n, err, says)
		}
	}
}
