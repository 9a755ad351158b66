package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// addresses are a host and a range of its ports to choose from.
type addresses struct {
	off         bool
	host        string // empty: all interfaces
	first, last int
}

// parseListen reads host:port and host:first-last. Port 0 is one that the
// kernel chooses.
func parseListen(listen string) (addresses, error) {
	if listen == "" || listen == "off" {
		return addresses{off: true}, nil
	}
	host, ports, err := net.SplitHostPort(listen)
	if err != nil {
		return addresses{}, fmt.Errorf("%q must be host:port or host:first-last", listen)
	}
	from, to, isRange := strings.Cut(ports, "-")
	if !isRange {
		to = from
	}
	first, err1 := strconv.ParseUint(from, 10, 16)
	last, err2 := strconv.ParseUint(to, 10, 16)
	if err1 != nil || err2 != nil || first > last {
		return addresses{}, fmt.Errorf("%q must end in a port from 0 to 65535, or in two of them as 9180-9279", listen)
	}
	return addresses{host: host, first: int(first), last: int(last)}, nil
}

// CheckListen says what is wrong with an address that Listen is to be given.
func CheckListen(listen string) error {
	_, err := parseListen(listen)
	return err
}

// Listen listens at host:port, or at the first free port of host:first-last; it
// returns nil for "off".
func Listen(listen string) (net.Listener, error) {
	where, err := parseListen(listen)
	if err != nil || where.off {
		return nil, err
	}
	return where.listen()
}

// listen takes the first port that nobody else has.
func (a addresses) listen() (net.Listener, error) {
	for port := a.first; port <= a.last; port++ {
		l, err := net.Listen("tcp", net.JoinHostPort(a.host, strconv.Itoa(port)))
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("listen on %q: all ports from %d to %d are in use", a.host, a.first, a.last)
}

// A server serves health and metrics until it is closed.
type server struct {
	http *http.Server
	addr string // empty if it serves nothing
	done chan struct{}
}

func listenAndServe(listen string, health *Health, metrics prometheus.Gatherer) (*server, error) {
	l, err := Listen(listen)
	if err != nil {
		return nil, err
	}
	s := &server{done: make(chan struct{})}
	if l == nil {
		close(s.done)
		return s, nil
	}
	s.addr = l.Addr().String()
	s.http = &http.Server{
		Handler:           handler(health, metrics, isLoopback(l.Addr())),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
	}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(l) // ends with ErrServerClosed, or with the process's last file descriptor
	}()
	return s, nil
}

// Close ends the requests under way too: they are cheap to ask again.
func (s *server) Close() error {
	if s.http == nil {
		return nil
	}
	err := s.http.Close()
	<-s.done
	return err
}

// handler serves profiles only where nobody but this host can ask for them.
func handler(health *Health, metrics prometheus.Gatherer, profiles bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", health.serveAlive)
	mux.HandleFunc("GET /readyz", health.serveReady)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	if profiles {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

func isLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// askReady asks the daemon that listens there whether it is ready. Of a range it
// asks the first port: where a container holds one daemon, that is the one.
func askReady(listen string) error {
	where, err := parseListen(listen)
	switch {
	case err != nil:
		return err
	case where.off:
		return errors.New("http.listen is off: there is nobody to ask")
	case where.first != where.last:
		return fmt.Errorf("http.listen is a range, %s, on which other daemons answer too: set LEAT_HTTP_LISTEN to the port of the one that is meant", listen)
	}
	if ip := net.ParseIP(where.host); where.host == "" || ip != nil && ip.IsUnspecified() {
		where.host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	url := "http://" + net.JoinHostPort(where.host, strconv.Itoa(where.first)) + "/readyz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer closeQuietly(resp.Body)
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	var report struct {
		Reasons map[string]string `json:"reasons"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&report); err != nil {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return fmt.Errorf("not ready: %s", sentence(report.Reasons))
}

// sentence is the reasons in one line, in the order of their components.
func sentence(reasons map[string]string) string {
	parts := make([]string, 0, len(reasons))
	for _, c := range slices.Sorted(maps.Keys(reasons)) {
		parts = append(parts, c+": "+strings.Join(strings.Fields(reasons[c]), " "))
	}
	return strings.Join(parts, "; ")
}
