package fetch

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/leatflow/leat/pkg/certs"
	"github.com/leatflow/leat/pkg/outbound"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/redact"
)

// tlsNames are what a source file calls what a handshake needs.
var tlsNames = certs.Names{CA: "http.tls.ca_file", Cert: "http.tls.cert_file", URL: "http.base_url"}

// awayError says what to do about a source that gave no answer: what the guard
// refuses, and a handshake that cannot succeed, is a mistake in a job, a source
// file or the configuration; whatever else it is ends by itself.
func awayError(address string, err error) error {
	if where, ok := errors.AsType[*url.Error](err); ok {
		err = where.Err // it names the address that a redirect led to, and what that holds nobody knows
	}
	explained, mistake := certs.Explain(err, tlsNames)
	if mistake || outbound.IsRefused(err) {
		return pipeline.Permanent(fmt.Errorf("%s: %w", redact.Text(address), explained))
	}
	return pipeline.Later(fmt.Errorf("the source is away: %s: %w", redact.Text(address), explained), 10*time.Second)
}

// openFile opens a file below an allowed folder, after links are resolved. It is
// opened through the folder, so that a link which is made meanwhile leads nowhere.
func (s *Stage) openFile(u *url.URL) (io.ReadCloser, error) {
	if u.Host != "" && u.Host != "localhost" {
		return nil, pipeline.Permanent(fmt.Errorf("url: found host %q; a file is on this host: file:///path", u.Host))
	}
	path := filepath.Clean(u.Path)
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		path = resolved
	} else if _, _, allowed := s.allowed(path); allowed { // of others nobody is told whether they are there
		return nil, pipeline.Permanent(fmt.Errorf("url: %w", err))
	}
	folder, name, allowed := s.allowed(path)
	if !allowed {
		return nil, pipeline.Permanent(fmt.Errorf("url: %s is not below an allowed folder; fetch.files allows %q", path, s.Files))
	}
	file, err := openIn(folder, name)
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("url: %w", err))
	}
	return file, nil
}

// allowed returns the allowed folder that a path lies in, and its name below it.
func (s *Stage) allowed(path string) (folder, name string, ok bool) {
	for _, folder := range s.Files {
		if folder, err := filepath.EvalSymlinks(folder); err == nil {
			if name, err := filepath.Rel(folder, path); err == nil && filepath.IsLocal(name) {
				return folder, name, true
			}
		}
	}
	return "", "", false
}

func openIn(folder, name string) (*os.File, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()                                                  //nolint:errcheck // the file that is open stays open
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe without a writer would block for ever
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s is not a file", filepath.Join(folder, name)), file.Close())
	}
	return file, nil
}
