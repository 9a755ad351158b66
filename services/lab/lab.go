// Package lab makes a Leat of its own on servers that others use too: a
// database, a vhost and a document database with fresh names, and a folder.
//
// In: the servers' addresses in the environment. Out: a Lab that is migrated and
// empty, and the settings that name it.
package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/leatflow/leat/pkg/mongodb"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/services/client"
	"github.com/leatflow/leat/services/settings"
)

// Servers are the addresses of the real ones.
type Servers struct{ Postgres, Rabbit, Manage, Mongo string }

// ServersOfEnvironment returns those that the environment names.
func ServersOfEnvironment() (Servers, error) {
	s := Servers{
		Postgres: os.Getenv("LEAT_POSTGRES_URL"), Rabbit: os.Getenv("LEAT_RABBITMQ_URL"),
		Manage: os.Getenv("LEAT_RABBITMQ_MANAGEMENT_URL"), Mongo: os.Getenv("LEAT_MONGODB_URL"),
	}
	if s.Postgres == "" || s.Rabbit == "" || s.Manage == "" || s.Mongo == "" {
		return s, errors.New(`the servers' addresses are not in the environment: run scripts/stack up, then eval "$(scripts/stack env)"`)
	}
	return s, nil
}

// A Lab is what a run has to itself.
type Lab struct {
	Servers Servers
	Name    string // of the database, the vhost and the document database
	Folder  string
	Cfg     settings.Settings
	DB      *pgxpool.Pool
	Docs    *mongo.Database
}

// New makes a lab with the source files that write puts into a folder. Prefix
// begins its name.
func New(ctx context.Context, s Servers, prefix string, write func(folder string) error) (l *Lab, err error) {
	l = &Lab{Servers: s, Name: prefix + strings.ToLower(rand.Text()[:12]), Cfg: settings.Default()}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if l.Folder, err = os.MkdirTemp("", strings.ReplaceAll(prefix, "_", "-")); err != nil {
		return l, err
	}
	l.Cfg.Sources, l.Cfg.Archive = filepath.Join(l.Folder, "sources"), filepath.Join(l.Folder, "archive")
	if err := errors.Join(os.Mkdir(l.Cfg.Sources, 0o700), os.Mkdir(l.Cfg.Archive, 0o700)); err != nil {
		return l, err
	}
	if err := write(l.Cfg.Sources); err != nil {
		return l, err
	}
	return l, l.make(ctx)
}

// make makes the places on the servers, with their tables, queues and indexes.
func (l *Lab) make(ctx context.Context) (err error) {
	l.Cfg.MongoDB.URL, l.Cfg.MongoDB.Database = l.Servers.Mongo, l.Name
	l.Cfg.RabbitMQ.ManagementURL = l.Servers.Manage
	if l.Cfg.Postgres.URL, err = withPath(l.Servers.Postgres, l.Name); err != nil {
		return err
	}
	if l.Cfg.RabbitMQ.URL, err = withPath(l.Servers.Rabbit, l.Name); err != nil {
		return err
	}
	if err := l.admin(ctx, "CREATE DATABASE "+l.Name); err != nil {
		return err
	}
	if err := l.makeVhost(ctx); err != nil {
		return err
	}
	if l.DB, err = postgres.Open(ctx, l.Cfg.Postgres); err != nil {
		return err
	}
	if l.Docs, err = mongodb.Open(l.Cfg.MongoDB); err != nil {
		return err
	}
	c, err := client.Open(ctx, l.Cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Migrate(ctx, time.Minute, func(string) {})
	return err
}

func withPath(address, path string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	u.Path = "/" + path
	return u.String(), nil
}

// Close drops everything. It works after ctx is over too.
func (l *Lab) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var failed []error
	if l.DB != nil {
		l.DB.Close()
		failed = append(failed, l.admin(ctx, "DROP DATABASE IF EXISTS "+l.Name+" WITH (FORCE)"))
	}
	if l.Docs != nil {
		failed = append(failed, l.Docs.Drop(ctx), l.Docs.Client().Disconnect(ctx))
		failed = append(failed, l.Manage(ctx, http.MethodDelete, "/api/vhosts/"+l.Name, nil, nil))
	}
	return errors.Join(append(failed, os.RemoveAll(l.Folder))...)
}

// admin runs a statement in the database that the servers came with.
func (l *Lab) admin(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, l.Servers.Postgres)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // the statement has said all
	_, err = conn.Exec(ctx, sql)
	return err
}

func (l *Lab) makeVhost(ctx context.Context) error {
	u, err := url.Parse(l.Servers.Rabbit)
	if err != nil {
		return err
	}
	all := map[string]string{"configure": ".*", "write": ".*", "read": ".*"}
	return errors.Join(
		l.Manage(ctx, http.MethodPut, "/api/vhosts/"+l.Name, nil, nil),
		l.Manage(ctx, http.MethodPut, "/api/permissions/"+l.Name+"/"+u.User.Username(), all, nil))
}

// Manage calls RabbitMQ's management API.
func (l *Lab) Manage(ctx context.Context, method, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	said, err := Call(ctx, method, l.Servers.Manage+path, text)
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(said, into)
}

// Call makes a request that must be granted, and returns the answer.
func Call(ctx context.Context, method, address string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	said, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	if err == nil && response.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("%s %s: %s: %s", method, request.URL.Path, response.Status, said)
	}
	return said, err
}

// Env is what names the lab in a daemon's environment.
func (l *Lab) Env() []string {
	return []string{
		"LEAT_POSTGRES_URL=" + l.Cfg.Postgres.URL, "LEAT_RABBITMQ_URL=" + l.Cfg.RabbitMQ.URL,
		"LEAT_MONGODB_URL=" + l.Cfg.MongoDB.URL, "LEAT_MONGODB_DATABASE=" + l.Cfg.MongoDB.Database,
		"LEAT_SOURCES=" + l.Cfg.Sources, "LEAT_ARCHIVE=" + l.Cfg.Archive, "LEAT_FETCH_ALLOW_NETWORKS=127.0.0.1", "LEAT_ANNOTATE_ALLOW_NETWORKS=127.0.0.1",
	}
}
