// Package settings is the one configuration of all daemons and of the CLI:
// config/leat.yaml.
package settings

import (
	"errors"
	"fmt"
	"time"

	"github.com/leatflow/leat/pkg/daemon"
	"github.com/leatflow/leat/pkg/mongodb"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/postgres"
	"github.com/leatflow/leat/pkg/rabbit"
	"github.com/leatflow/leat/services/rollup"
)

// Settings is the whole file. Each daemon uses the keys that concern it.
type Settings struct {
	daemon.Shell `mapstructure:",squash"`

	RabbitMQ rabbit.Config   `mapstructure:"rabbitmq"`
	Postgres postgres.Config `mapstructure:"postgres"`
	MongoDB  mongodb.Config  `mapstructure:"mongodb"`
	Sources  string          `mapstructure:"sources"` // folder of the source files
	Archive  string          `mapstructure:"archive"` // folder of the raw answers

	Fetch    Fetch           `mapstructure:"fetch"`
	Delta    pipeline.Config `mapstructure:"delta"`
	Annotate pipeline.Config `mapstructure:"annotate"`
	Rollup   Rollup          `mapstructure:"rollup"`
	Console  Console         `mapstructure:"console"`
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
	Files       []string `mapstructure:"files"` // folders below which file:// addresses may lie
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
		Fetch:    Fetch{Slots: 2, MaxAttempts: 5, Files: []string{}},
		Delta:    pipeline.Config{BatchSize: 8, Slots: 2, Prefetch: 32, MaxAttempts: 5},
		Annotate: pipeline.Config{BatchSize: 16, Slots: 1, Prefetch: 64, MaxAttempts: 5},
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
		"annotate.batch_size": s.Annotate.BatchSize, "annotate.slots": s.Annotate.Slots, "annotate.prefetch": s.Annotate.Prefetch, "annotate.max_attempts": s.Annotate.MaxAttempts,
		"rollup.batch_size": s.Rollup.Worker.BatchSize, "rollup.slots": s.Rollup.Worker.Slots, "rollup.prefetch": s.Rollup.Worker.Prefetch, "rollup.max_attempts": s.Rollup.Worker.MaxAttempts,
		"rollup.documents": s.Rollup.Writing.Documents, "console.batch_size": s.Console.BatchSize, "console.prefetch": s.Console.Prefetch,
	} {
		if n < 1 || n > 10_000 {
			wrong = append(wrong, errors.New(name+": a whole number from 1 to 10000 is allowed"))
		}
	}
	if s.Rollup.Writing.Within < 10*time.Millisecond {
		wrong = append(wrong, errors.New("rollup.within: at least 10ms"))
	}
	if err := daemon.CheckListen(s.Console.Listen); err != nil {
		wrong = append(wrong, fmt.Errorf("console.listen: %w", err))
	}
	return errors.Join(append(wrong, s.Shell.Validate())...)
}

// grace is how much sooner than the daemon a worker ends.
const grace = 5 * time.Second

// Grace is how long a worker may finish what it has in hand at a stop.
func (s Settings) Grace() time.Duration { return max(s.StopTimeout-grace, s.StopTimeout/2) }
