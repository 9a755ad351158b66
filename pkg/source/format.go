package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// FormatOf is the format of an answer: what the name of its file or the path of
// its address says, else what the source file does.
func (s *Source) FormatOf(path string) string {
	name := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(path), ".gz"), ".zst")
	switch ext := strings.TrimPrefix(filepath.Ext(name), "."); ext {
	case formatJSON, formatNDJSON, formatCSV, formatTSV:
		return ext
	case "jsonl":
		return formatNDJSON
	}
	return s.Fetch.Report.Format
}

// An input is an opened answer, decompressed and made UTF-8 as it is read.
type input struct {
	ctx    context.Context
	stream io.Reader
	file   io.ReaderAt // the same bytes, where they can be read out of order; else nil
	size   int64
	close  func()
}

// openAnswer opens an answer. Where it must be read out of its order, what is
// compressed or not UTF-8 goes into a file first, which has no name any more.
func openAnswer(ctx context.Context, a Answer, seeks bool) (*input, error) {
	raw := &section{ctx: ctx, file: a.File, end: a.Size}
	var magic [4]byte
	if n, err := a.File.ReadAt(magic[:min(a.Size, 4)], 0); n < int(min(a.Size, 4)) {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	in := &input{ctx: ctx, close: func() {}}
	switch {
	case magic[0] == 0x1f && magic[1] == 0x8b:
		r, err := gzip.NewReader(raw)
		if err != nil {
			return nil, raw.damaged("gzip", err)
		}
		in.stream = &unpacked{r, raw, "gzip", a.MaxSize, 0}
	case bytes.Equal(magic[:], []byte{0x28, 0xb5, 0x2f, 0xfd}):
		r, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, raw.damaged("zstd", err)
		}
		in.stream, in.close = &unpacked{r, raw, "zstd", a.MaxSize, 0}, r.Close
	default:
		in.stream, in.file, in.size = raw, a.File, a.Size
	}
	if err := in.decode(a.Encoding); err != nil {
		in.close()
		return nil, err
	}
	if in.file != nil || !seeks {
		return in, nil
	}
	return in.spill(a.Temp)
}

// spill reads all into a file.
func (in *input) spill(folder string) (*input, error) {
	defer in.close()
	f, err := os.CreateTemp(folder, "leat-answer-*")
	if err != nil {
		return nil, fmt.Errorf("copy the answer: %w", err)
	}
	if err = os.Remove(f.Name()); err == nil {
		in.size, err = io.Copy(f, in.stream)
	}
	if err != nil {
		_ = f.Close() // its own error is the one to tell
		return nil, fmt.Errorf("copy the answer: %w", err)
	}
	in.file, in.close = f, func() { _ = f.Close() } // it is gone already, and was only read
	in.stream = &section{ctx: in.ctx, file: f, end: in.size}
	return in, nil
}

// A section reads a piece of a file, and watches ctx.
type section struct {
	ctx     context.Context
	file    io.ReaderAt
	at, end int64
	err     error // that was not the end
}

// Read implements io.Reader.
func (s *section) Read(p []byte) (int, error) {
	if s.at >= s.end {
		return 0, io.EOF
	}
	if s.err = s.ctx.Err(); s.err != nil {
		return 0, s.err
	}
	n, err := s.file.ReadAt(p[:min(int64(len(p)), s.end-s.at)], s.at)
	s.at += int64(n)
	if n > 0 {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // the file is shorter than the answer was
	}
	s.err = fmt.Errorf("read the answer: %w", err)
	return 0, s.err
}

// damaged makes a FormError of what a decompressor says, unless the file itself
// could not be read.
func (s *section) damaged(format string, err error) error {
	if s.err != nil {
		return s.err
	}
	what := fmt.Sprintf("damaged %s (%v)", format, err)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		what = "the end of a " + format + " that is cut off"
	}
	return &FormError{Position: fmt.Sprintf("byte %d as received", s.at), Found: what, Expected: "a whole " + format}
}

// maxWindow is the memory that a zstd stream may ask for; --ultra and --long ask for more.
const maxWindow = 32 << 20

// unpacked reads what a decompressor gives, up to most bytes: little may stand for
// more than the disk holds.
type unpacked struct {
	r      io.Reader
	raw    *section
	format string
	most   int64 // 0: any number
	given  int64
}

// Read implements io.Reader.
func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	if u.given += int64(n); u.most > 0 && u.given > u.most {
		return 0, badForm(bytePosition(u.most), "more than that when decompressed", "no more: fetch.max_size_mib allows it")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = u.raw.damaged(u.format, err)
	}
	return n, err
}
