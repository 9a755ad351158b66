package main

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

// servers are the addresses of the real ones.
type servers struct {
	postgres, rabbit, manage, mongo string
}

func serversOfEnvironment() (servers, error) {
	s := servers{
		postgres: os.Getenv("LEAT_POSTGRES_URL"), rabbit: os.Getenv("LEAT_RABBITMQ_URL"),
		manage: os.Getenv("LEAT_RABBITMQ_MANAGEMENT_URL"), mongo: os.Getenv("LEAT_MONGODB_URL"),
	}
	if s.postgres == "" || s.rabbit == "" || s.manage == "" || s.mongo == "" {
		return s, errors.New("the servers' addresses are not in the environment: run scripts/bench")
	}
	return s, nil
}

// A lab is what one run of one contestant has to itself: a database, a vhost and
// a document database, migrated and empty, and a folder.
type lab struct {
	servers servers
	name    string
	folder  string
	cfg     settings.Settings
	db      *pgxpool.Pool
	docs    *mongo.Database
}

// newLab makes a lab with the source files that write puts into a folder.
func newLab(ctx context.Context, s servers, write func(folder string) error) (l *lab, err error) {
	l = &lab{servers: s, name: "leat_bench_" + strings.ToLower(rand.Text()[:12]), cfg: settings.Default()}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if l.folder, err = os.MkdirTemp("", "leat-bench-"); err != nil {
		return l, err
	}
	l.cfg.Sources, l.cfg.Archive = filepath.Join(l.folder, "sources"), filepath.Join(l.folder, "archive")
	if err := errors.Join(os.Mkdir(l.cfg.Sources, 0o700), os.Mkdir(l.cfg.Archive, 0o700)); err != nil {
		return l, err
	}
	if err := write(l.cfg.Sources); err != nil {
		return l, err
	}
	return l, l.make(ctx)
}

// make makes the places on the servers, with their tables, queues and indexes.
func (l *lab) make(ctx context.Context) (err error) {
	l.cfg.MongoDB.URL, l.cfg.MongoDB.Database = l.servers.mongo, l.name
	if l.cfg.Postgres.URL, err = withPath(l.servers.postgres, l.name); err != nil {
		return err
	}
	if l.cfg.RabbitMQ.URL, err = withPath(l.servers.rabbit, l.name); err != nil {
		return err
	}
	if err := l.admin(ctx, "CREATE DATABASE "+l.name); err != nil {
		return err
	}
	if err := l.makeVhost(ctx); err != nil {
		return err
	}
	if l.db, err = postgres.Open(ctx, l.cfg.Postgres); err != nil {
		return err
	}
	if l.docs, err = mongodb.Open(l.cfg.MongoDB); err != nil {
		return err
	}
	c, err := client.Open(ctx, l.cfg)
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

// close drops everything. It works after ctx is over too.
func (l *lab) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var failed []error
	if l.db != nil {
		l.db.Close()
		failed = append(failed, l.admin(ctx, "DROP DATABASE IF EXISTS "+l.name+" WITH (FORCE)"))
	}
	if l.docs != nil {
		failed = append(failed, l.docs.Drop(ctx), l.docs.Client().Disconnect(ctx))
		failed = append(failed, l.manage(ctx, http.MethodDelete, "/api/vhosts/"+l.name, nil, nil))
	}
	return errors.Join(append(failed, os.RemoveAll(l.folder))...)
}

// admin runs a statement in the database that the servers came with.
func (l *lab) admin(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, l.servers.postgres)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // the statement has said all
	_, err = conn.Exec(ctx, sql)
	return err
}

func (l *lab) makeVhost(ctx context.Context) error {
	u, err := url.Parse(l.servers.rabbit)
	if err != nil {
		return err
	}
	all := map[string]string{"configure": ".*", "write": ".*", "read": ".*"}
	return errors.Join(
		l.manage(ctx, http.MethodPut, "/api/vhosts/"+l.name, nil, nil),
		l.manage(ctx, http.MethodPut, "/api/permissions/"+l.name+"/"+u.User.Username(), all, nil))
}

// manage calls RabbitMQ's management API.
func (l *lab) manage(ctx context.Context, method, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	said, err := call(ctx, method, l.servers.manage+path, text)
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(said, into)
}

// call makes a request that must be granted, and returns the answer.
func call(ctx context.Context, method, address string, body []byte) ([]byte, error) {
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
