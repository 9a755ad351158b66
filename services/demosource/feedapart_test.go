package demosource

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// said reads n events of a connection: their ids.
func said(t *testing.T, url, after string, n int) (ids, texts []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Last-Event-ID", after)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return []string{answer.Status}, nil
	}
	for lines := bufio.NewScanner(answer.Body); len(texts) < n && lines.Scan(); {
		if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			ids = append(ids, id)
		}
		if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			texts = append(texts, text)
		}
	}
	return ids, texts
}

func TestMessagesGoOnAfterTheOneThatIsNamed(t *testing.T) {
	platform := httptest.NewServer(New(DefaultConfig()))
	defer platform.Close()
	url := platform.URL + "/feedapart/messages?every=20ms"
	ids, texts := said(t, url, "", 4)
	again, same := said(t, url, ids[0], 3)
	if strings.Join(again, " ") != strings.Join(ids[1:], " ") || strings.Join(same, "") != strings.Join(texts[1:], "") {
		t.Errorf("after %s: %v, first it was %v", ids[0], again, ids)
	}
	if !strings.HasPrefix(texts[0], `{"id":"m`+ids[0]+`","room":"`) {
		t.Errorf("message %s is %s", ids[0], texts[0])
	}
	if old, _ := said(t, url, "1", 1); old[0] != "410 Gone" {
		t.Errorf("after the first message ever: %s", old[0])
	}
	if wrong, _ := said(t, url, "soon", 1); wrong[0] != "400 Bad Request" {
		t.Errorf("after no message: %s", wrong[0])
	}
	if ids, _ := said(t, url+"&lasts=100ms", "", 1000); len(ids) == 0 || len(ids) > 100 {
		t.Errorf("a short connection has %d messages", len(ids))
	}
}

func TestPhotosAreMostlyTheSameTheNextTime(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	cfg := DefaultConfig()
	cfg.Now = func() time.Time { return now }
	platform := httptest.NewServer(New(cfg))
	defer platform.Close()
	photos := func() string {
		answer, err := http.Get(platform.URL + "/feedapart/photos")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first := photos()
	if again := photos(); again != first || strings.Count(first, `"id"`) != shownPhotos {
		t.Errorf("%s\nthen %s", first, again)
	}
	now = now.Add(20 * time.Second)
	old := 0
	second := photos()
	for id := range strings.SplitSeq(first, `{"id":"`) {
		if name, _, ok := strings.Cut(id, `"`); ok && strings.Contains(second, name) {
			old++
		}
	}
	if second == first || old < shownPhotos-1 || old > shownPhotos+1 {
		t.Errorf("%d photos are the same of\n%s\nand\n%s", old, first, second)
	}
}
