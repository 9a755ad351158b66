package outbound

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/leatflow/leat/pkg/certs"
)

func guard(t *testing.T, networks ...string) *Guard {
	t.Helper()
	g, err := New(Config{Setting: "fetch", Networks: networks, MaxBytes: 1 << 20, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// get asks with some headers, and returns what was answered.
func get(t *testing.T, g *Guard, files certs.Files, address string) (string, error) {
	t.Helper()
	client, err := g.Client(files, "http.tls")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Authorization", "X-Api-Key", "User-Agent"} {
		r.Header.Set(name, "mine")
	}
	answer, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}

func refused(t *testing.T, err error, says ...string) {
	t.Helper()
	if !IsRefused(err) {
		t.Fatalf("%v is not a refusal", err)
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q does not say %q", err, text)
		}
	}
}

func TestOnlyPublicAddressesAreAllowed(t *testing.T) {
	g := guard(t)
	for _, address := range []string{
		"127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.1.1",
		"224.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.0.8",
		"169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", // metadata
		"::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "ff02::1", "fec0::1", "2001:db8::1",
		"::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::127.0.0.1",
		"64:ff9b::127.0.0.1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "2002:7f00:1::", "2001::1",
	} {
		if g.check(netip.MustParseAddr(address)) == nil {
			t.Errorf("%s is allowed", address)
		}
	}
	for _, address := range []string{"93.184.216.34", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"} {
		if err := g.check(netip.MustParseAddr(address)); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestTheConfigurationAllowsMore(t *testing.T) {
	g := guard(t, "10.1.0.0/16", "127.0.0.1", "fd00::/8", "64:ff9b::/96")
	for address, want := range map[string]bool{
		"10.1.2.3": true, "10.2.0.1": false, "127.0.0.1": true, "127.0.0.2": false, "::ffff:10.1.2.3": true, "fd12::1": true, "fe80::1": false,
		"64:ff9b::8.8.8.8": true, "64:ff9b::10.1.0.1": true, "64:ff9b::192.168.0.1": false, "64:ff9b::169.254.169.254": false,
	} {
		if err := g.check(netip.MustParseAddr(address)); (err == nil) != want {
			t.Errorf("%s: %v, want allowed: %t", address, err, want)
		}
	}
	if _, err := New(Config{Setting: "fetch", Networks: []string{"intranet"}}); err == nil || !strings.Contains(err.Error(), `fetch.allow_networks: "intranet" is neither`) {
		t.Errorf("err = %v", err)
	}
}

// counting is a source that must not be reached, or says what it was told.
func counting(t *testing.T) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var connections atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.Host, strings.Join([]string{r.Header.Get("Authorization"), r.Header.Get("X-Api-Key"), r.Header.Get("Referer"), r.UserAgent()}, ","))
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s, &connections
}

func TestALoopbackSourceIsReachedOnlyWhereAllowed(t *testing.T) {
	s, connections := counting(t)
	port := s.Listener.Addr().(*net.TCPAddr).Port
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "[::ffff:7f00:1]"} {
		_, err := get(t, guard(t), certs.Files{}, fmt.Sprintf("http://%s:%d/", host, port))
		refused(t, err, host, "fetch.allow_networks")
	}
	if n := connections.Load(); n > 0 {
		t.Errorf("%d connections came through", n)
	}
	if got, err := get(t, guard(t, "127.0.0.1"), certs.Files{}, s.URL); err != nil || !strings.HasSuffix(got, "mine,mine,,mine") {
		t.Errorf("%q, %v", got, err)
	}
}

// A name that is public when it is looked up first and private when it is looked
// up again leads nowhere: what counts is the address of the connection.
func TestRebindingHasNoEffect(t *testing.T) {
	s, connections := counting(t)
	var lookups atomic.Int64
	g := guard(t)
	g.resolver = names(t, func() [4]byte {
		if lookups.Add(1) == 1 {
			return [4]byte{192, 0, 2, 1}
		}
		return [4]byte{127, 0, 0, 1}
	})
	for range 3 {
		_, err := get(t, g, certs.Files{}, fmt.Sprintf("http://rebind.example:%d/", s.Listener.Addr().(*net.TCPAddr).Port))
		refused(t, err, "rebind.example", "fetch.allow_networks")
	}
	if lookups.Load() < 2 || connections.Load() > 0 {
		t.Errorf("%d lookups, %d connections", lookups.Load(), connections.Load())
	}
}

// names is a resolver whose name server answers each question for an address of
// IPv4 with what answer says.
func names(t *testing.T, answer func() [4]byte) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { server.Close() })
	serving.Go(func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true}, Questions: m.Questions}
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				reply.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &dnsmessage.AResource{A: answer()}}}
			}
			if text, err := reply.Pack(); err == nil {
				_, _ = server.WriteTo(text, from)
			}
		}
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

// redirecting is a source that sends everybody to another address.
func redirecting(t *testing.T, tls bool, to func(r *http.Request) string) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to(r), http.StatusFound) }))
	if tls {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func always(address string) func(*http.Request) string {
	return func(*http.Request) string { return address }
}

func TestARedirectIsCheckedAgain(t *testing.T) {
	s, connections := counting(t)
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() { _ = s.Config.Serve(listener) }()
	there := "http://" + listener.Addr().String()
	_, err = get(t, guard(t, "127.0.0.1"), certs.Files{}, redirecting(t, false, always(there)).URL)
	refused(t, err, listener.Addr().String(), "fetch.allow_networks")
	if connections.Load() > 0 {
		t.Error("it was followed")
	}
	_, err = get(t, guard(t, "127.0.0.1"), certs.Files{}, redirecting(t, false, always("file:///etc/passwd")).URL)
	refused(t, err, "redirected to file://")
	loop := redirecting(t, false, func(r *http.Request) string { return r.URL.Path + "x" })
	_, err = get(t, guard(t, "127.0.0.1"), certs.Files{}, loop.URL)
	refused(t, err, "redirected more than 5 times")
}

func TestCredentialsStayWithTheirHost(t *testing.T) {
	s, _ := counting(t)
	got, err := get(t, guard(t, "127.0.0.1"), certs.Files{}, redirecting(t, false, always(s.URL)).URL+"/?token=secret")
	if err != nil || !strings.HasSuffix(got, " ,,,mine") {
		t.Errorf("the other host was told %q, %v", got, err)
	}
	here, _ := counting(t)
	own := here.Config.Handler
	here.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/there", http.StatusFound)
			return
		}
		own.ServeHTTP(w, r)
	})
	if got, err := get(t, guard(t, "127.0.0.1"), certs.Files{}, here.URL+"/"); err != nil || !strings.HasSuffix(got, " mine,mine,,mine") {
		t.Errorf("the same host was told %q, %v", got, err)
	}
}

func TestNoRedirectLeadsFromHTTPSToHTTP(t *testing.T) {
	s, connections := counting(t)
	secure := redirecting(t, true, always(s.URL))
	_, err := get(t, guard(t, "127.0.0.1"), certs.Files{CA: authority(t, secure)}, secure.URL)
	refused(t, err, "from https to http")
	if connections.Load() > 0 {
		t.Error("it was followed")
	}
}

// authority writes a server's certificate to a file.
func authority(t *testing.T, s *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAnAnswerIsLimitedInSizeAndTime(t *testing.T) {
	large := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			_, _ = w.Write(make([]byte, 1<<19))
		}
	}))
	defer large.Close()
	got, err := get(t, guard(t, "127.0.0.1"), certs.Files{}, large.URL)
	refused(t, err, "more than the 1 MiB that fetch.max_size_mib allows")
	if len(got) > 1<<20 {
		t.Errorf("%d bytes came through", len(got))
	}
	g, err := New(Config{Setting: "fetch", Networks: []string{"127.0.0.1"}, MaxBytes: 1 << 20, Timeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			fmt.Fprint(w, "x")
			w.(http.Flusher).Flush()
			<-time.After(10 * time.Millisecond)
		}
	}))
	defer slow.Close()
	if _, err := get(t, g, certs.Files{}, slow.URL); err == nil || IsRefused(err) || !strings.Contains(err.Error(), "longer than the 100ms that fetch.max_duration allows") {
		t.Errorf("err = %v", err)
	}
}
