// Package pipetest gives tests real servers: a fresh database, vhost and
// document database for each test, on the servers that LEAT_POSTGRES_URL,
// LEAT_RABBITMQ_URL, LEAT_RABBITMQ_MANAGEMENT_URL and LEAT_MONGODB_URL name.
// `eval "$(scripts/stack env)"` sets them.
package pipetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// server returns the address of a server. A test that needs one does not pass
// without it.
func server(t testing.TB, variable string) string {
	t.Helper()
	address := os.Getenv(variable)
	if address == "" {
		t.Fatalf(`%s is not set: run scripts/stack up, then eval "$(scripts/stack env)", or scripts/test`, variable)
	}
	return address
}

// name is a fresh name for what belongs to a test.
func name() string { return "leat_test_" + strings.ToLower(rand.Text()[:12]) }

// Postgres returns the URL of a fresh, empty database. It is dropped when the
// test ends.
func Postgres(t testing.TB) string {
	t.Helper()
	admin := server(t, "LEAT_POSTGRES_URL")
	fresh := name()
	run := func(ctx context.Context, sql string) {
		t.Helper()
		conn, err := pgx.Connect(ctx, admin)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx) //nolint:errcheck // the statement has said all
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	run(t.Context(), "CREATE DATABASE "+fresh)
	t.Cleanup(func() { run(context.Background(), "DROP DATABASE "+fresh+" WITH (FORCE)") })
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + fresh
	return u.String()
}

// Rabbit returns the URL of a fresh vhost. It is deleted when the test ends.
func Rabbit(t testing.TB) string {
	t.Helper()
	u, err := url.Parse(server(t, "LEAT_RABBITMQ_URL"))
	if err != nil {
		t.Fatal(err)
	}
	vhost := name()
	manage(t, http.MethodPut, "/api/vhosts/"+vhost, nil)
	manage(t, http.MethodPut, "/api/permissions/"+vhost+"/"+u.User.Username(), map[string]string{"configure": ".*", "write": ".*", "read": ".*"})
	t.Cleanup(func() { manage(t, http.MethodDelete, "/api/vhosts/"+vhost, nil) })
	u.Path = "/" + vhost
	return u.String()
}

// RabbitUser returns rabbitURL for a fresh user who may write and read all of the
// vhost and configure what matches the expression. The user is deleted when the
// test ends.
func RabbitUser(t testing.TB, rabbitURL, configure string) string {
	t.Helper()
	mine := RabbitStranger(t, rabbitURL)
	u, vhost := parseVhost(t, mine)
	manage(t, http.MethodPut, "/api/permissions/"+vhost+"/"+u.User.Username(), map[string]string{"configure": configure, "write": ".*", "read": ".*"})
	return mine
}

// RabbitStranger returns rabbitURL for a fresh user without permissions, who is
// deleted when the test ends.
func RabbitStranger(t testing.TB, rabbitURL string) string {
	t.Helper()
	u, _ := parseVhost(t, rabbitURL)
	user, password := name(), rand.Text()
	manage(t, http.MethodPut, "/api/users/"+user, map[string]string{"password": password, "tags": ""})
	t.Cleanup(func() { manage(t, http.MethodDelete, "/api/users/"+user, nil) })
	u.User = url.UserPassword(user, password)
	return u.String()
}

// RabbitImport imports definitions, as the management UI does.
func RabbitImport(t testing.TB, definitions string) {
	t.Helper()
	manage(t, http.MethodPost, "/api/definitions", json.RawMessage(definitions))
}

// CloseConnections cuts all connections to a vhost, as the management UI does.
// The management plugin learns of a connection some seconds late, so it waits
// until there is one to cut, and fails when there is none.
func CloseConnections(t testing.TB, rabbitURL string) {
	t.Helper()
	_, vhost := parseVhost(t, rabbitURL)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var connections []struct{ Name string }
		if err := json.Unmarshal(manage(t, http.MethodGet, "/api/vhosts/"+vhost+"/connections", nil), &connections); err != nil {
			t.Fatal(err)
		}
		closed := false
		for _, c := range connections {
			status, _ := request(t, http.MethodDelete, "/api/connections/"+url.PathEscape(c.Name), nil)
			closed = closed || status == http.StatusNoContent // else it was gone already
		}
		if closed {
			return
		}
	}
	t.Fatalf("no connection to %s to close", vhost)
}

func parseVhost(t testing.TB, rabbitURL string) (u *url.URL, vhost string) {
	t.Helper()
	u, err := url.Parse(rabbitURL)
	if err != nil {
		t.Fatal(err)
	}
	return u, strings.TrimPrefix(u.Path, "/")
}

// manage calls the management API, which must agree.
func manage(t testing.TB, method, path string, body any) []byte {
	t.Helper()
	status, said := request(t, method, path, body)
	if status >= 300 {
		t.Fatalf("%s %s: %d %s", method, path, status, said)
	}
	return said
}

func request(t testing.TB, method, path string, body any) (status int, said []byte) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // not the test's: it is over when this cleans up
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, server(t, "LEAT_RABBITMQ_MANAGEMENT_URL")+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	said, err = io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, said
}

// Mongo returns the server's URL and the name of a fresh database. It is
// dropped when the test ends.
func Mongo(t testing.TB) (address, database string) {
	t.Helper()
	address, database = server(t, "LEAT_MONGODB_URL"), name()
	t.Cleanup(func() {
		ctx := context.Background()
		client, err := mongo.Connect(options.Client().ApplyURI(address))
		if err == nil {
			err = client.Database(database).Drop(ctx)
			_ = client.Disconnect(ctx)
		}
		if err != nil {
			t.Error(fmt.Errorf("drop %s: %w", database, err))
		}
	})
	return address, database
}
