package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/leatflow/leat/pkg/rabbit"
)

// A Status is how an installation does.
type Status struct {
	Servers     []Server `json:"servers"`
	Queues      []Queue  `json:"queues"`             // null when RabbitMQ does not say
	DeadLetters *int64   `json:"dead_letters"`       // in the queue, not filed yet
	Filed       *int64   `json:"dead_letters_filed"` // that nobody has replayed or dropped; null when PostgreSQL does not say
	Waiting     *int64   `json:"waiting"`            // messages that are put back for later
	Jobs        []JobRow `json:"jobs"`               // open ones, the newest first; null when PostgreSQL does not say
	Dirty       *Dirty   `json:"dirty"`
	Broken      []Broken `json:"broken"` // source files, as fetch sees them; null when PostgreSQL does not say
}

// Up reports whether all servers answer.
func (s Status) Up() bool {
	return !slices.ContainsFunc(s.Servers, func(s Server) bool { return !s.Up })
}

// A Server is one of those that Leat works with.
type Server struct {
	Name    string `json:"name"`
	Up      bool   `json:"up"`
	Version string `json:"version"`
	Error   string `json:"error"`
}

// A Queue is what the broker says of one.
type Queue struct {
	Name      string `json:"name"`
	Ready     int64  `json:"ready"`
	Unacked   int64  `json:"unacked"`
	Consumers int64  `json:"consumers"`
}

// A Broken is a source file that is wrong on a host of fetch. Its jobs go on
// under the version that was used last, if there is one.
type Broken struct {
	Source  string    `json:"source"` // "*": the folder as a whole
	Host    string    `json:"host"`
	Problem string    `json:"problem"`
	Since   time.Time `json:"since"`
}

// Dirty is what rollup has still to write.
type Dirty struct {
	Marks     int64      `json:"marks"`
	Objects   int64      `json:"objects"`
	OldestDue *time.Time `json:"oldest_due"` // in the past: no rollup worker has come to it
}

// limit is how long a server may take to say how it is.
const limit = 5 * time.Second

// waitPrefix is what the names of the queues begin with in which messages wait.
const waitPrefix = "leat.wait."

// manyOpen is how many open jobs a status has.
const manyOpen = 20

// Status asks the servers how they are. One that does not answer is part of
// the status, and no error.
func (c *Client) Status(ctx context.Context) Status {
	s := Status{}
	ask := func(name string, f func(context.Context) (version string, err error)) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		version, err := f(ctx)
		server := Server{Name: name, Up: err == nil, Version: version}
		if err != nil {
			server.Error = err.Error()
		}
		s.Servers = append(s.Servers, server)
	}
	ask("rabbitmq", func(ctx context.Context) (version string, err error) { return c.askRabbit(ctx, &s) })
	ask("postgres", func(ctx context.Context) (version string, err error) { return c.askPostgres(ctx, &s) })
	ask("mongodb", c.askMongo)
	return s
}

func (c *Client) askMongo(ctx context.Context) (version string, err error) {
	var info struct {
		Version string `bson:"version"`
	}
	err = c.mongo.RunCommand(ctx, bson.D{{Key: "buildInfo", Value: 1}}).Decode(&info)
	return info.Version, err
}

func (c *Client) askPostgres(ctx context.Context, s *Status) (version string, err error) {
	if err := c.db.QueryRow(ctx, `SHOW server_version`).Scan(&version); err != nil {
		return "", err
	}
	jobs, err := c.openJobs(ctx)
	if err != nil {
		return version, err
	}
	var d Dirty
	if err := c.db.QueryRow(ctx, `SELECT count(*), count(DISTINCT object_id), min(due) FROM dirty`).Scan(&d.Marks, &d.Objects, &d.OldestDue); err != nil {
		return version, err
	}
	var filed int64
	if err := c.db.QueryRow(ctx, `SELECT count(*) FROM dead_letters WHERE state = 'dead'`).Scan(&filed); err != nil {
		return version, err
	}
	broken, err := c.broken(ctx)
	if err != nil {
		return version, err
	}
	s.Jobs, s.Dirty, s.Filed, s.Broken = jobs, &d, &filed, broken
	return version, nil
}

// broken returns the broken source files of the hosts that said so just now: a
// host that is gone no longer says anything.
func (c *Client) broken(ctx context.Context) ([]Broken, error) {
	rows, err := c.db.Query(ctx, `
		SELECT source, host, problem, since FROM source_problems
		WHERE seen_at > now() - interval '5 minutes' ORDER BY source, host`)
	if err != nil {
		return nil, err
	}
	broken, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Broken])
	if broken == nil {
		broken = []Broken{}
	}
	return broken, err
}

func (c *Client) openJobs(ctx context.Context) ([]JobRow, error) {
	jobs := []JobRow{}
	for _, state := range []string{"running", "queued"} {
		some, err := c.Jobs(ctx, JobFilter{State: state, Limit: manyOpen})
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, some...)
	}
	return jobs, nil
}

func (c *Client) askRabbit(ctx context.Context, s *Status) (version string, err error) {
	if version, err = c.brokerVersion(ctx); err != nil {
		return "", err
	}
	queues, err := c.queues(ctx)
	if err != nil {
		return version, err
	}
	s.Queues = queues
	var dead, waiting int64
	for _, q := range queues {
		switch {
		case q.Name == rabbit.Dead:
			dead = q.Ready + q.Unacked
		case strings.HasPrefix(q.Name, waitPrefix):
			waiting += q.Ready + q.Unacked
		}
	}
	s.DeadLetters, s.Waiting = &dead, &waiting
	return version, nil
}

// brokerVersion asks the broker itself, for that is what the pipeline needs.
func (c *Client) brokerVersion(ctx context.Context) (string, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close() //nolint:errcheck // nothing was sent over it
	version, _ := conn.Properties["version"].(string)
	return version, nil
}

func (c *Client) dial(ctx context.Context) (*amqp.Connection, error) {
	wait := limit
	if deadline, ok := ctx.Deadline(); ok {
		wait = time.Until(deadline)
	}
	encryption, err := c.cfg.RabbitMQ.TLS()
	if err != nil {
		return nil, err
	}
	conn, err := amqp.DialConfig(c.cfg.RabbitMQ.URL, amqp.Config{Dial: amqp.DefaultDial(wait), TLSClientConfig: encryption})
	return conn, rabbit.Explain(err)
}

// queues returns Leat's queues in the order of the pipeline. What is ready and
// who consumes is AMQP's word: the management API's is some seconds old, but it
// alone knows what is not acknowledged.
func (c *Client) queues(ctx context.Context) ([]Queue, error) {
	all, away := c.managed(ctx)
	now, err := c.declared(ctx, away)
	switch {
	case err != nil && away != nil:
		return nil, err
	case away != nil:
		all = now
	}
	for i, q := range all {
		if at := slices.IndexFunc(now, func(n Queue) bool { return n.Name == q.Name }); at >= 0 {
			all[i].Ready, all[i].Consumers = now[at].Ready, now[at].Consumers
		}
	}
	order := rabbit.Queues()
	place := func(q Queue) int {
		if i := slices.Index(order, q.Name); i >= 0 {
			return i
		}
		return len(order)
	}
	all = slices.DeleteFunc(all, func(q Queue) bool { return !strings.HasPrefix(q.Name, "leat.") })
	slices.SortStableFunc(all, func(a, b Queue) int { return place(a) - place(b) })
	return all, nil
}

// managed asks the management API.
func (c *Client) managed(ctx context.Context) ([]Queue, error) {
	uri, err := amqp.ParseURI(c.cfg.RabbitMQ.URL)
	if err != nil {
		return nil, fmt.Errorf("rabbitmq.url: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	address := strings.TrimSuffix(c.cfg.RabbitMQ.ManagementURL, "/") + "/api/queues/" + url.PathEscape(uri.Vhost)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("rabbitmq.management_url: %w", err)
	}
	encryption, err := c.cfg.RabbitMQ.TLS()
	if err != nil {
		return nil, err
	}
	manager := &http.Client{Transport: &http.Transport{TLSClientConfig: encryption, DisableKeepAlives: true}}
	response, err := manager.Do(request)
	if err != nil {
		return nil, rabbit.Explain(err)
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("rabbitmq.management_url: %s", response.Status)
	}
	var rows []struct {
		Name      string `json:"name"`
		Ready     int64  `json:"messages_ready"`
		Unacked   *int64 `json:"messages_unacknowledged"`
		Consumers int64  `json:"consumers"`
	}
	if err := json.NewDecoder(response.Body).Decode(&rows); err != nil {
		return nil, fmt.Errorf("rabbitmq.management_url: %w", err)
	}
	queues := make([]Queue, len(rows))
	for i, r := range rows {
		if r.Unacked == nil {
			return nil, fmt.Errorf("rabbitmq.management_url: it has not counted the messages of %s (yet)", r.Name)
		}
		queues[i] = Queue{r.Name, r.Ready, *r.Unacked, r.Consumers}
	}
	return queues, nil
}

// declared asks over AMQP: a queue that is declared passively says what is
// ready in it. One that is not there closes the channel.
func (c *Client) declared(ctx context.Context, why error) ([]Queue, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, errors.Join(why, err)
	}
	defer conn.Close() //nolint:errcheck // nothing was sent over it
	var queues []Queue
	for _, name := range rabbit.Queues() {
		channel, err := conn.Channel()
		if err != nil {
			return nil, err
		}
		q, err := channel.QueueDeclarePassive(name, true, false, false, false, nil)
		if err != nil {
			continue
		}
		queues = append(queues, Queue{Name: name, Ready: int64(q.Messages), Consumers: int64(q.Consumers)})
		_ = channel.Close() // the connection is closed soon
	}
	return queues, nil
}
