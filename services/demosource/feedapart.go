package demosource

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// The conference at which a message or a photo is posted every so often, by the
// clock: what was posted is known from its number.
var (
	rooms   = []string{"hall", "studio", "garden"}
	authors = []string{"ada", "grace", "joan", "radia", "barbara", "edith"}
	phrases = []string{"who has a seat for me?", "that was worth the trip", "slides are up", "louder please", "coffee is served outside", "question to the panel"}
)

const (
	stillThere   = 5 * time.Second // between comments, where nothing is said
	remembers    = time.Hour       // of what was said
	shownPhotos  = 20
	editedPhotos = 4 // one of so many gets another caption, a while after it was posted
)

// messages answers /feedapart/messages: what is said from now on, or after the
// message that Last-Event-ID or since names, as server-sent events. After lasts
// the connection ends.
func (s *server) messages(w http.ResponseWriter, r *http.Request) {
	q := query{r.URL.Query()}
	every, err := q.duration("every", time.Second)
	if err != nil {
		writeError(w, err)
		return
	}
	lasts, err := q.duration("lasts", 10*time.Minute)
	if err != nil {
		writeError(w, err)
		return
	}
	next := s.number(every) + 1
	if since := r.Header.Get("Last-Event-ID") + q.Get("since"); since != "" {
		last, err := strconv.ParseInt(since, 10, 64)
		switch {
		case err != nil || last < 0 || last >= next:
			writeError(w, bad("since is %q; it must be the id of a message", since))
			return
		case time.Duration(next-last)*every > remembers:
			writeError(w, problem{http.StatusGone, "messages are kept for " + remembers.String()})
			return
		}
		next = last + 1
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	talk{s, w, r, every}.say(next, time.Now().Add(lasts))
}

// A talk is one connection over which messages go.
type talk struct {
	*server
	w     http.ResponseWriter
	r     *http.Request
	every time.Duration
}

// say says messages from one on, each when it is its time.
func (t talk) say(next int64, end time.Time) {
	fmt.Fprint(t.w, "retry: 1000\n\n")
	for time.Now().Before(end) {
		for ; next <= t.number(t.every); next++ {
			fmt.Fprintf(t.w, "id: %d\nevent: message\ndata: %s\n\n", next, t.message(next))
		}
		wait := min(t.until(next), stillThere, time.Until(end))
		if wait == stillThere {
			fmt.Fprint(t.w, ": still there\n\n")
		}
		if http.NewResponseController(t.w).Flush() != nil || !sleep(t.r, wait) {
			return
		}
	}
}

// number is that of the newest thing of which there is one every so often.
func (s *server) number(every time.Duration) int64 { return s.now().UnixNano() / int64(every) }

func (t talk) until(number int64) time.Duration {
	return time.Duration(number*int64(t.every) - t.now().UnixNano())
}

// A post is a message or a photo.
type post struct {
	ID       string `json:"id"`
	Room     string `json:"room"`
	Author   string `json:"author"`
	At       string `json:"at"`
	Text     string `json:"text,omitempty"`
	Caption  string `json:"caption,omitempty"`
	URL      string `json:"url,omitempty"`
	Messages int    `json:"messages,omitempty"`
	Photos   int    `json:"photos,omitempty"`
}

func (s *server) post(kind string, number int64, every time.Duration) (post, uint64) {
	h := mixString(s.cfg.Seed^uint64(number), kind)
	at := time.Unix(0, number*int64(every)).In(s.cfg.Location)
	return post{
		ID: kind + strconv.FormatInt(number, 10), At: at.Format(time.RFC3339Nano),
		Room: rooms[h%uint64(len(rooms))], Author: authors[(h>>16)%uint64(len(authors))],
	}, h >> 32
}

func (t talk) message(number int64) []byte {
	p, h := t.post("m", number, t.every)
	p.Text, p.Messages = phrases[h%uint64(len(phrases))], 1
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // it is text
	}
	return text
}

// photos answers /feedapart/photos: the newest, which therefore are mostly the
// same the next time. The caption of some is another a while later.
func (s *server) photos(w http.ResponseWriter, r *http.Request) {
	every, err := query{r.URL.Query()}.duration("every", 20*time.Second)
	if err != nil {
		writeError(w, err)
		return
	}
	newest := s.number(every)
	all := make([]post, shownPhotos)
	for i := range all {
		p, h := s.post("p", newest-int64(i), every)
		p.Caption, p.URL, p.Photos = p.Author+" in the "+p.Room, "https://photos.example/"+p.ID+".jpg", 1
		if i > shownPhotos/2 && h%editedPhotos == 0 {
			p.Caption += " (and friends)"
		}
		all[i] = p
	}
	writeJSON(w, http.StatusOK, map[string]any{"photos": all})
}

// duration reads how long something takes.
func (q query) duration(name string, fallback time.Duration) (time.Duration, error) {
	text := q.Get(name)
	if text == "" {
		return fallback, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 10*time.Millisecond || d > time.Hour {
		return 0, bad("%s is %q; it must be a duration from 10ms to 1h", name, text)
	}
	return d, nil
}
