// Package settings is the one configuration of all daemons and of the CLI:
// config/leat.yaml.
package settings

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/leatflow/leat/pkg/daemon"
	"github.com/leatflow/leat/pkg/mongodb"
	"github.com/leatflow/leat/pkg/outbound"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/archive"
	"github.com/leatflow/leat/services/rollup"
)

// Settings is the whole file. Each daemon uses the keys that concern it.
type Settings struct {
	daemon.Shell `mapstructure:",squash"`

	RabbitMQ rabbit.Config   `mapstructure:"rabbitmq"`
	Postgres postgres.Config `mapstructure:"postgres"`
	MongoDB  mongodb.Config  `mapstructure:"mongodb"`
	Sources  string          `mapstructure:"sources"` // folder of the source files
	Archive  string          `mapstructure:"archive"` // folder or bucket of the raw answers

	Fetch    Fetch           `mapstructure:"fetch"`
	Delta    pipeline.Config `mapstructure:"delta"`
	Annotate Annotate        `mapstructure:"annotate"`
	Rollup   Rollup          `mapstructure:"rollup"`
	Check    Check           `mapstructure:"check"`
	Console  Console         `mapstructure:"console"`
}

// Check is whom leat check --notify tells what it found.
type Check struct {
	Webhook       string `mapstructure:"webhook"`
	WebhookSecret string `mapstructure:"webhook_secret"` // what the message is signed with: whsec_ and base64
	MailCommand   string `mapstructure:"mail_command"`   // run by a shell, the report on its stdin
	Always        bool   `mapstructure:"always"`         // also when nothing was found
}

// Console is the console's part.
type Console struct {
	BatchSize  int      `mapstructure:"batch_size"` // dead letters filed in one transaction
	Prefetch   int      `mapstructure:"prefetch"`
	Listen     string   `mapstructure:"listen"`      // host:port or host:first-last of pages and API; "off": none
	Hosts      []string `mapstructure:"hosts"`       // names that browsers may call it by, besides addresses and localhost
	UserHeader string   `mapstructure:"user_header"` // in which a proxy says who asks
}

// Fetch is the fetch stage's part.
type Fetch struct {
	Slots       int      `mapstructure:"slots"` // jobs done side by side
	MaxAttempts int      `mapstructure:"max_attempts"`
	YieldAbove  int      `mapstructure:"yield_above"` // messages in one queue, above which no slice of a backfill begins
	Files       []string `mapstructure:"files"`       // folders below which file:// addresses may lie

	AllowNetworks []string      `mapstructure:"allow_networks"` // beside the public internet
	MaxSizeMiB    int64         `mapstructure:"max_size_mib"`   // of an answer
	MaxDuration   time.Duration `mapstructure:"max_duration"`   // of an answer; less than the broker waits for an acknowledgement
}

// Annotate is the annotate stage's part.
type Annotate struct {
	Worker pipeline.Config `mapstructure:",squash"`

	Lookups       int      `mapstructure:"lookups"`        // requests of http() that are under way at the same time
	AllowNetworks []string `mapstructure:"allow_networks"` // beside the public internet
	MaxSizeMiB    int64    `mapstructure:"max_size_mib"`   // of an answer
}

// Rollup is the rollup stage's part.
type Rollup struct {
	Worker  pipeline.Config `mapstructure:",squash"`
	Writing rollup.Config   `mapstructure:",squash"`
}

// Default returns what the shipped file says.
func Default() Settings {
	return Settings{
		Shell:    daemon.DefaultShell(),
		RabbitMQ: rabbit.DefaultConfig(),
		Postgres: postgres.DefaultConfig(),
		MongoDB:  mongodb.DefaultConfig(),
		Sources:  "config/sources",
		Archive:  "/var/lib/leat/archive",
		Fetch:    Fetch{Slots: 2, MaxAttempts: 5, YieldAbove: 300, Files: []string{}, AllowNetworks: []string{}, MaxSizeMiB: 16384, MaxDuration: 25 * time.Minute},
		Delta:    pipeline.Config{BatchSize: 8, Slots: 2, Prefetch: 32, MaxAttempts: 5},
		Annotate: Annotate{
			Worker:  pipeline.Config{BatchSize: 16, Slots: 1, Prefetch: 64, MaxAttempts: 5},
			Lookups: 8, AllowNetworks: []string{}, MaxSizeMiB: 1,
		},
		Rollup: Rollup{
			Worker: pipeline.Config{BatchSize: 64, Slots: 2, Prefetch: 256, MaxAttempts: 5}, Writing: rollup.DefaultConfig(),
		},
		Console: Console{BatchSize: 50, Prefetch: 100, Listen: "127.0.0.1:9280-9289", Hosts: []string{}},
	}
}

// ShellOf returns the part that daemon.Main needs.
func ShellOf(s *Settings) *daemon.Shell { return &s.Shell }

// Validate implements what daemon.Load asks of a configuration.
func (s Settings) Validate() error {
	var wrong []error
	for name, n := range map[string]int{
		"fetch.slots": s.Fetch.Slots, "fetch.max_attempts": s.Fetch.MaxAttempts,
		"delta.batch_size": s.Delta.BatchSize, "delta.slots": s.Delta.Slots, "delta.prefetch": s.Delta.Prefetch, "delta.max_attempts": s.Delta.MaxAttempts,
		"annotate.batch_size": s.Annotate.Worker.BatchSize, "annotate.slots": s.Annotate.Worker.Slots, "annotate.prefetch": s.Annotate.Worker.Prefetch, "annotate.max_attempts": s.Annotate.Worker.MaxAttempts,
		"annotate.lookups":  s.Annotate.Lookups,
		"rollup.batch_size": s.Rollup.Worker.BatchSize, "rollup.slots": s.Rollup.Worker.Slots, "rollup.prefetch": s.Rollup.Worker.Prefetch, "rollup.max_attempts": s.Rollup.Worker.MaxAttempts,
		"rollup.documents": s.Rollup.Writing.Documents, "console.batch_size": s.Console.BatchSize, "console.prefetch": s.Console.Prefetch,
	} {
		if n < 1 || n > 10_000 {
			wrong = append(wrong, errors.New(name+": a whole number from 1 to 10000 is allowed"))
		}
	}
	if s.Fetch.YieldAbove < 0 || s.Fetch.YieldAbove > 1_000_000 {
		wrong = append(wrong, errors.New("fetch.yield_above: a whole number from 0 to 1000000 is allowed"))
	}
	if s.Rollup.Writing.Within < 10*time.Millisecond {
		wrong = append(wrong, errors.New("rollup.within: at least 10ms"))
	}
	if err := daemon.CheckListen(s.Console.Listen); err != nil {
		wrong = append(wrong, fmt.Errorf("console.listen: %w", err))
	}
	if s.Fetch.MaxSizeMiB < 1 || s.Fetch.MaxSizeMiB > 1<<20 {
		wrong = append(wrong, errors.New("fetch.max_size_mib: a whole number from 1 to 1048576 is allowed"))
	}
	if s.Fetch.MaxDuration < time.Second || s.Fetch.MaxDuration > 25*time.Minute {
		wrong = append(wrong, errors.New("fetch.max_duration: from 1s to 25m is allowed: RabbitMQ gives a message that is held for 30m to another worker"))
	}
	if _, err := archive.Check(s.Archive); err != nil {
		wrong = append(wrong, err)
	}
	if s.Annotate.MaxSizeMiB < 1 || s.Annotate.MaxSizeMiB > 64 {
		wrong = append(wrong, errors.New("annotate.max_size_mib: a whole number from 1 to 64 is allowed"))
	}
	_, err := s.Fetch.Guard()
	_, asking := s.Annotate.Guard()
	return errors.Join(append(wrong, err, asking, s.Check.validate(), s.Shell.Validate())...)
}

func (c Check) validate() error {
	if c.Webhook == "" {
		return nil
	}
	if u, err := url.Parse(c.Webhook); err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return errors.New("check.webhook: an address with http or https is allowed")
	}
	if key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(c.WebhookSecret, "whsec_")); err != nil || len(key) < 24 || len(key) > 64 {
		return errors.New("check.webhook_secret: whsec_ and the base64 of 24 to 64 bytes is allowed; the webhook is signed with it")
	}
	return nil
}

// Guard makes what guards the requests to sources.
func (f Fetch) Guard() (*outbound.Guard, error) {
	return outbound.New(outbound.Config{Setting: "fetch", Networks: f.AllowNetworks, MaxBytes: f.MaxSizeMiB << 20, Timeout: f.MaxDuration})
}

// Guard makes what guards the requests of annotators. How long one may take the
// source file says.
func (a Annotate) Guard() (*outbound.Guard, error) {
	return outbound.New(outbound.Config{Setting: "annotate", Networks: a.AllowNetworks, MaxBytes: a.MaxSizeMiB << 20, Timeout: 2 * time.Minute})
}

// grace is how much sooner than the daemon a worker ends.
const grace = 5 * time.Second

// Grace is how long a worker may finish what it has in hand at a stop.
func (s Settings) Grace() time.Duration { return max(s.StopTimeout-grace, s.StopTimeout/2) }
