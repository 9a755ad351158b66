package floor

import (
	"context"
	"encoding/binary"
	"io"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leatflow/leat/pkg/metric"
)

// Copied is rows in the binary form of COPY.
type copied struct{ b []byte }

var signature = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")

func (c *copied) begin(columns int) { c.b = binary.BigEndian.AppendUint16(c.b, uint16(columns)) }

func (c *copied) size(n int) { c.b = binary.BigEndian.AppendUint32(c.b, uint32(n)) }

func (c *copied) int64(v int64) {
	c.size(8)
	c.b = binary.BigEndian.AppendUint64(c.b, uint64(v))
}

func (c *copied) int16(v int) {
	c.size(2)
	c.b = binary.BigEndian.AppendUint16(c.b, uint16(v))
}

func (c *copied) text(s string) {
	c.size(len(s))
	c.b = append(c.b, s...)
}

func (c *copied) null() { c.size(-1) }

// jsonb writes what f appends.
func (c *copied) jsonb(f func([]byte) []byte) {
	at := len(c.b)
	c.size(0)
	c.b = f(append(c.b, 1))
	binary.BigEndian.PutUint32(c.b[at:], uint32(len(c.b)-at-4))
}

// PostgreSQL counts from 2000-01-01.
const epochDays = 10957

func (c *copied) day(d metric.Day) {
	c.size(4)
	c.b = binary.BigEndian.AppendUint32(c.b, uint32(int32(d)-epochDays))
}

func (c *copied) time(t time.Time) { c.int64(t.UnixMicro() - epochDays*24*3600*1_000_000) }

// A copier is a COPY under way.
type copier struct {
	copied
	pipe *io.PipeWriter
	done chan error
}

const copyBuffer = 256 << 10

// copyTo begins a COPY on a connection of its own. Before it some statements are
// done there, after it others, all in one transaction.
func copyTo(ctx context.Context, db *pgxpool.Pool, table, before, after string) *copier {
	r, w := io.Pipe()
	c := &copier{pipe: w, done: make(chan error, 1)}
	c.b = append(make([]byte, 0, 2*copyBuffer), signature...)
	go func() {
		err := copyFrom(ctx, db, r, table, before, after)
		_ = r.CloseWithError(err) // whoever writes on is told
		c.done <- err
	}()
	return c
}

func copyFrom(ctx context.Context, db *pgxpool.Pool, r io.Reader, table, before, after string) error {
	conn, err := db.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "BEGIN; "+before); err != nil {
		return err
	}
	if _, err := conn.Conn().PgConn().CopyFrom(ctx, r, "COPY "+table+" FROM STDIN (FORMAT binary)"); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, after+"; COMMIT")
	return err
}

// flush hands on what there is, if it is much.
func (c *copier) flush() error {
	if len(c.b) < copyBuffer {
		return nil
	}
	return c.write()
}

func (c *copier) write() error {
	_, err := c.pipe.Write(c.b)
	c.b = c.b[:0]
	return err
}

// finish ends the COPY and waits for it.
func (c *copier) finish() error {
	c.b = binary.BigEndian.AppendUint16(c.b, 0xffff)
	_ = c.write() // what failed is what the COPY says
	_ = c.pipe.Close()
	return <-c.done
}
