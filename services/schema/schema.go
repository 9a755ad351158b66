// Package schema holds the database's migrations: all tables in one order, for
// their foreign keys cross the stages.
package schema

import "embed"

// FS holds the migrations, NNNNN_name.sql.
//
//go:embed *.sql
var FS embed.FS
