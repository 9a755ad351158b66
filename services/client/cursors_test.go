package client

import (
	"fmt"
	"strings"
	"testing"
)

func (i *installation) cursors(which CursorWhich) string {
	i.t.Helper()
	rows, err := i.Cursors(i.t.Context(), which)
	if err != nil {
		i.t.Fatal(err)
	}
	var lines []string
	for _, r := range rows {
		lines = append(lines, fmt.Sprintf("%s/%s/%s %q %q %q", r.Source, r.Account, r.Stream, r.Value, r.Next, r.Job))
	}
	return strings.Join(lines, "; ")
}

func TestACursorIsSetAndReset(t *testing.T) {
	i := installed(t)
	const job = "0198f1c2-0000-7000-8000-000000000001"
	i.exec(`INSERT INTO leat.cursors (source, account, stream, value, next, job_id) VALUES
		('shop', '', 'report', '2026-11-01T00:00:00Z', '2026-11-02T00:00:00Z', $1), ('other', 'a', 'changes', '7', NULL, NULL)`, job)
	if got := i.cursors(CursorWhich{}); got != `other/a/changes "7" "" ""; shop//report "2026-11-01T00:00:00Z" "2026-11-02T00:00:00Z" "`+job+`"` {
		t.Errorf("cursors: %s", got)
	}
	shop := CursorWhich{Source: "shop"}
	if err := i.SetCursor(t.Context(), shop, "2026-10-20"); err != nil {
		t.Fatal(err)
	}
	if got := i.cursors(shop); got != `shop//report "2026-10-20T00:00:00Z" "" ""` {
		t.Errorf("after it was set: %s", got)
	}
	if _, err := i.ResetCursors(t.Context(), shop); err != nil {
		t.Fatal(err)
	}
	if got := i.cursors(CursorWhich{}); got != `other/a/changes "7" "" ""; shop//report "" "" ""` {
		t.Errorf("after it was reset: %s", got)
	}
	moves, err := i.CursorHistory(t.Context(), shop, 10)
	if err != nil || len(moves) != 2 || moves[0].Value != "" || moves[1].Value != "2026-10-20T00:00:00Z" {
		t.Errorf("history: %+v, %v", moves, err)
	}
	if n := i.count(`SELECT count(*) FROM leat.audit WHERE action = 'cursor' AND subject = 'shop' AND (detail ->> 'value' = '2026-10-20T00:00:00Z' OR detail ->> 'value' IS NULL)`); n != 2 {
		t.Errorf("%d entries in audit, want 2", n)
	}
}

func TestAWrongCursorSaysWhatIsAllowed(t *testing.T) {
	i := installed(t)
	for _, c := range []struct {
		which CursorWhich
		value string
		says  string
	}{
		{CursorWhich{Source: "shp"}, "1", `source: found "shp"`},
		{CursorWhich{Source: "shop", Account: "acme"}, "2026-11-20", `account: found "acme"; source shop has none`},
		{CursorWhich{Source: "shop", Stream: "x"}, "1", `stream: found "x"; there are report, changes, stream`},
		{CursorWhich{Source: "shop"}, "yesterday", `value: found "yesterday"; the cursor of a report is a day`},
		{CursorWhich{Source: "shop"}, "", "value: it is empty"},
	} {
		if err := i.SetCursor(t.Context(), c.which, c.value); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %s", c.which, err, c.says)
		}
	}
	if _, err := i.ResetCursors(t.Context(), CursorWhich{Source: "shop"}); err == nil || !strings.Contains(err.Error(), "no cursor of source shop is so") {
		t.Errorf("a reset of none: %v", err)
	}
}
