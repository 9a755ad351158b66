package source

import (
	"bytes"
	"errors"
	"io"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// The encodings of an answer.
const (
	encodingUTF8   = "utf-8"
	encodingUTF16  = "utf-16"
	encodingLatin1 = "latin-1"
)

// Byte order marks.
var (
	markUTF8  = []byte{0xef, 0xbb, 0xbf}
	marksOf16 = [][]byte{{0xff, 0xfe}, {0xfe, 0xff}}
)

// decode makes UTF-8, without a mark, of what is read. A mark goes over what the
// source file says, and latin-1 is Windows-1252, as browsers have it.
func (in *input) decode(name string) error {
	head, err := in.head(len(markUTF8))
	if err != nil {
		return err
	}
	var from encoding.Encoding
	switch {
	case bytes.Equal(head, markUTF8):
		return in.pass(len(head))
	case bytes.HasPrefix(head, marksOf16[0]), bytes.HasPrefix(head, marksOf16[1]), name == encodingUTF16:
		from = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM) // little-endian where no mark says otherwise
	case name == encodingLatin1:
		from = charmap.Windows1252
	default:
		return nil
	}
	in.stream, in.file = transform.NewReader(in.stream, from.NewDecoder()), nil
	return nil
}

// head returns the first bytes, n of them where there are so many, and leaves
// them to be read.
func (in *input) head(n int) ([]byte, error) {
	head := make([]byte, n)
	if in.file != nil {
		n, err := in.file.ReadAt(head, 0)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return head[:n], err
	}
	n, err := io.ReadFull(in.stream, head)
	if errors.Is(err, io.EOF) || n > 0 && errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	in.stream = io.MultiReader(bytes.NewReader(head[:n]), in.stream)
	return head[:n], err
}

// pass goes over the first n bytes, as if they were not there.
func (in *input) pass(n int) error {
	if in.file == nil {
		_, err := io.CopyN(io.Discard, in.stream, int64(n))
		return err
	}
	in.size -= int64(n)
	in.file = io.NewSectionReader(in.file, int64(n), in.size)
	in.stream = &section{ctx: in.ctx, file: in.file, end: in.size}
	return nil
}
