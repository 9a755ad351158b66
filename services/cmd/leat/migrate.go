package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatflow/leat/services/client"
)

func (a *app) migrate() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Make the tables, queues and indexes that are missing",
		Long: `migrate brings PostgreSQL's schema leat up to date, declares the exchanges and
queues on RabbitMQ, and makes the indexes of MongoDB's collections, one for each
source file. What is there already stays as it is, so it can be run at every start.`,
		Example: "  leat migrate\n  leat migrate --wait 2m    # where the servers start at the same time",
		Args:    nothing,
		RunE: a.connected(func(ctx context.Context, c *client.Client, _ []string) error {
			m, err := c.Migrate(ctx, wait, a.note)
			if err != nil {
				return err
			}
			return a.show(m, func(w io.Writer) { showMigrated(w, m) })
		}),
	}
	cmd.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long to wait for each server that does not answer")
	return cmd
}

func showMigrated(w io.Writer, m client.Migrated) {
	tables := fmt.Sprintf("is at version %d, as it was", m.Postgres.To)
	if m.Postgres.From != m.Postgres.To {
		tables = fmt.Sprintf("brought from version %d to %d", m.Postgres.From, m.Postgres.To)
	}
	collections := "no source files, so no collections"
	if n := len(m.MongoDB.Collections); n > 0 {
		collections = fmt.Sprintf("%d indexes made; collections: %s", m.MongoDB.Created, strings.Join(m.MongoDB.Collections, ", "))
	}
	table(w,
		"PostgreSQL\tschema leat "+tables,
		fmt.Sprintf("RabbitMQ\t%d queues are there: %s", len(m.RabbitMQ.Queues), strings.Join(m.RabbitMQ.Queues, ", ")),
		"MongoDB\t"+collections)
}
