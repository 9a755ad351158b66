package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/rabbit"
)

// A login is a daemon's own way to the servers.
type login struct{ postgres, rabbit string }

// logins makes the roles of config/sql/roles.sql and the permissions of
// config/rabbitmq/permissions.json, for daemons of this test's own.
func (s *system) logins() map[string]login {
	s.t.Helper()
	mark := strings.ToLower(rand.Text()[:10])
	role := func(stage string) string { return "leat_test_" + mark + "_" + stage }
	sql, permissions := shipped(s.t, "sql/roles.sql"), shipped(s.t, "rabbitmq/permissions.json")
	all := map[string]login{}
	vhost, err := amqp.ParseURI(s.cfg.RabbitMQ.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	for stage := range daemons {
		sql = strings.ReplaceAll(sql, "leat_"+stage, role(stage))
		u, err := url.Parse(s.cfg.Postgres.URL)
		if err != nil {
			s.t.Fatal(err)
		}
		u.User = url.UserPassword(role(stage), mark)
		stranger := pipetest.RabbitStranger(s.t, s.cfg.RabbitMQ.URL)
		user, err := amqp.ParseURI(stranger)
		if err != nil {
			s.t.Fatal(err)
		}
		permissions = strings.ReplaceAll(permissions, "leat_"+stage, user.Username)
		all[stage] = login{u.String(), stranger}
	}
	pipetest.RabbitImport(s.t, strings.ReplaceAll(permissions, `"vhost": "/"`, fmt.Sprintf(`"vhost": %q`, vhost.Vhost)))
	for range 2 { // it is run after each migration
		s.exec(sql)
	}
	for stage := range daemons {
		s.exec(fmt.Sprintf(`ALTER ROLE %s PASSWORD '%s'`, role(stage), mark))
		s.t.Cleanup(func() { // its grants go before it does
			if _, err := s.db.Exec(context.Background(), fmt.Sprintf(`DROP OWNED BY %[1]s; DROP ROLE %[1]s`, role(stage))); err != nil {
				s.t.Error(err)
			}
		})
	}
	return all
}

// shipped is a file of the folder config.
func shipped(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../config/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (s *system) exec(sql string) {
	s.t.Helper()
	if _, err := s.db.Exec(s.t.Context(), sql); err != nil {
		s.t.Fatal(err)
	}
}

// A job goes through, with each daemon under its own role and user, none of whom
// may do another's work.
func TestLeastPrivilege(t *testing.T) {
	s, platform := ads(t, 200<<10)
	all := s.logins()
	s.env = func(stage string) []string {
		return []string{"LEAT_POSTGRES_URL=" + all[stage].postgres, "LEAT_RABBITMQ_URL=" + all[stage].rabbit}
	}
	processes := s.launch()
	for range 2 { // the second time with changes
		state, counts := s.await(s.submit(adsJob), patience)
		s.want("state", state, "done")
		s.want("rejected", counts["stats"]["rejected"], 0)
		revise(t, platform, "0.3")
	}
	s.submit(`{"source":"ads","url":"file:///etc/passwd"}`)
	scheduled(s)
	processes = append(processes, s.run("console"), s.run("scheduler"))
	s.until(patience, "the job that is due to be done", func() bool {
		return len(s.query(`SELECT 1 FROM jobs WHERE sender_id LIKE 'schedule/full every 24h/%' AND state = 'done'`)) == 1
	})
	letter := s.filed("fetch", 1)[0] // a death is written too
	c, store := s.operator()
	if _, err := store.Edit(t.Context(), letter.ID, []byte(adsJob), c.By(), "no file was meant"); err != nil {
		t.Fatal(err)
	}
	s.replay(c, "", letter.ID)
	for _, p := range processes {
		if log := p.log.String(); strings.Contains(log, "permission denied") || strings.Contains(log, "ACCESS_REFUSED") {
			t.Errorf("%s lacks a right: %s", p.stage, p.log.String())
		}
	}
	s.want("documents", len(s.documents("ads")) > 0, true)
	for stage, mine := range all {
		t.Run(stage, func(t *testing.T) {
			mayNot(t, mine.postgres, forbidden[stage])
			mayNotConsume(t, stage, mine.rabbit)
		})
	}
}

// scheduled gives the source file of ads another schedule, by which a job is due at once.
func scheduled(s *system) {
	s.t.Helper()
	file := filepath.Join(s.cfg.Sources, "ads.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	shipped, _, _ := strings.Cut(string(text), "\nschedule:")
	s.source("ads.yaml", shipped+"\nschedule: [{every: 24h, mode: full}]\n")
}

// What each stage must not do, besides what none may.
var forbidden = map[string][]string{
	"fetch":     {`SELECT * FROM objects`, `SELECT * FROM stats`, `DELETE FROM rejects`, `SELECT * FROM tags`, `INSERT INTO dirty DEFAULT VALUES`, `SELECT make_month(current_date)`},
	"delta":     {`SELECT * FROM tokens`, `INSERT INTO tags DEFAULT VALUES`, `INSERT INTO jobs DEFAULT VALUES`, `DELETE FROM objects`, `SELECT * FROM answers`, `SELECT nextval('rev')`, `SELECT make_month('1999-01-01')`},
	"annotate":  {`SELECT * FROM requests`, `INSERT INTO stats (object_id) VALUES (1)`, `SELECT * FROM stats`, `UPDATE objects SET name = ''`, `DELETE FROM tags`, `SELECT nextval('rev')`, `SELECT make_month(current_date)`},
	"console":   {`SELECT * FROM tokens`, `SELECT * FROM objects`, `SELECT * FROM stats`, `DELETE FROM dead_letters`, `UPDATE audit SET who = ''`, `DELETE FROM audit`, `SELECT * FROM rejects`},
	"scheduler": {`SELECT * FROM tokens`, `SELECT * FROM objects`, `SELECT params FROM jobs`, `INSERT INTO jobs DEFAULT VALUES`, `UPDATE jobs SET state = 'done'`, `DELETE FROM schedules`, `SELECT * FROM ledger`},
	"rollup":    {`SELECT * FROM tokens`, `INSERT INTO stats (object_id) VALUES (1)`, `UPDATE objects SET name = ''`, `UPDATE tags SET tags = '{}'`, `SELECT * FROM answers`, `SELECT setval('rev', 1)`, `SELECT make_month(current_date)`},
}

var nobodyMay = []string{
	`CREATE TABLE leat.mine (x int)`, `DELETE FROM tokens`, `DROP TABLE leat.stats`, `TRUNCATE leat.ledger`, `UPDATE jobs SET created_at = now()`, `UPDATE source_versions SET text = ''`,
	`ALTER TABLE leat.jobs ADD COLUMN x int`, `COPY leat.jobs TO PROGRAM 'true'`, `SELECT pg_read_file('/etc/passwd')`, `CREATE ROLE leat_test_mine`,
}

func mayNot(t *testing.T, address string, statements []string) {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Config{URL: address})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, sql := range append(statements, nobodyMay...) {
		_, err := db.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
		refused, ok := errors.AsType[*pgconn.PgError](err)
		if !ok || refused.Code != "42501" && refused.Code != "22008" {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// mayNotConsume tries what a stage may not do at the broker: take another's
// messages, declare and delete queues, and publish past the exchange.
func mayNotConsume(t *testing.T, stage, address string) {
	t.Helper()
	conn, err := amqp.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	try := func(what string, f func(ch *amqp.Channel) error) {
		t.Helper()
		ch, err := conn.Channel()
		if err != nil {
			t.Fatal(err)
		}
		err = f(ch)
		refused, ok := errors.AsType[*amqp.Error](err)
		if !ok || refused.Code != amqp.AccessRefused {
			t.Errorf("%s: %v", what, err)
		}
	}
	own := "leat." + stage
	if stage == "console" {
		own = rabbit.Dead
	}
	for _, queue := range rabbit.Queues() {
		if queue == own {
			continue
		}
		try("consume "+queue, func(ch *amqp.Channel) error {
			_, err := ch.Consume(queue, "", false, false, false, false, nil)
			return err
		})
		try("purge "+queue, func(ch *amqp.Channel) error {
			_, err := ch.QueuePurge(queue, false)
			return err
		})
	}
	try("declare", func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare("leat.mine", true, false, false, false, nil)
		return err
	})
	try("delete", func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(own, false, false, false)
		return err
	})
	try("publish past the exchange", func(ch *amqp.Channel) error {
		closed := ch.NotifyClose(make(chan *amqp.Error, 1))
		if err := ch.Publish("", "leat.fetch", true, false, amqp.Publishing{}); err != nil {
			return err
		}
		if err := <-closed; err != nil {
			return err
		}
		return nil
	})
}

// A table that a migration adds has to be somebody's: who writes it is said in
// config/sql/roles.sql.
func TestEveryTableIsSomebodys(t *testing.T) {
	s := newSystem(t)
	sql := shipped(t, "sql/roles.sql")
	for _, table := range s.query(`
		SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'leat' AND c.relkind IN ('r', 'p', 'S') AND NOT c.relispartition
		AND c.relname <> 'goose_db_version' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('i', 'a'))`) {
		if name := strings.Trim(table, `"`); !strings.Contains(sql, "leat."+name) {
			t.Errorf("config/sql/roles.sql does not say who may write leat.%s", name)
		}
	}
}
