package fetch

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/source"
)

// address returns where a slice is asked for.
func address(s event.Slice, src *source.Source) string {
	switch {
	case s.URL != "":
		return s.URL
	case s.Since != nil:
		return baseURL(src) + changesAddress(s, src.Fetch.Changes)
	case s.IDs != nil:
		return paged(baseURL(src)+changesAddress(s, src.Fetch.Changes), src.Fetch.Pages, s.Page)
	}
	path := strings.NewReplacer(
		"{account}", url.QueryEscape(s.Account), "{from}", s.From, "{to}", s.To).Replace(src.Fetch.Report.Path)
	return paged(baseURL(src)+path, src.Fetch.Pages, s.Page)
}

func baseURL(src *source.Source) string {
	return strings.TrimSuffix(os.ExpandEnv(src.HTTP.BaseURL), "/")
}

// formatOf is the format of an answer: what the address's name says, else what
// the source file does.
func formatOf(u *url.URL, src *source.Source) string {
	name := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(u.Path), ".gz"), ".zst")
	ext := strings.TrimPrefix(filepath.Ext(name), ".")
	if ext == "jsonl" {
		ext = "ndjson"
	}
	if slices.Contains([]string{"json", "ndjson", "csv", "tsv"}, ext) {
		return ext
	}
	return src.Fetch.Report.Format
}

// parseAddress reads an address: http, https, or a file.
func parseAddress(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("url: %q is not an address: %w", address, err))
	}
	switch u.Scheme {
	case "http", "https", "file":
		return u, nil
	}
	return nil, pipeline.Permanent(fmt.Errorf("url: found %q; %s are allowed", address, strings.Join(schemes, ", ")))
}

// openFile opens a file after its links are resolved.
func (s *Stage) openFile(u *url.URL) (io.ReadCloser, error) {
	if u.Host != "" && u.Host != "localhost" {
		return nil, pipeline.Permanent(fmt.Errorf("url: found host %q; a file is on this host: file:///path", u.Host))
	}
	path, err := filepath.EvalSymlinks(filepath.Clean(u.Path))
	if err != nil && !s.allowed(filepath.Clean(u.Path)) {
		path, err = filepath.Clean(u.Path), nil // say that it is not allowed, and not whether it is there
	}
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("url: %w", err))
	}
	if !s.allowed(path) {
		return nil, pipeline.Permanent(fmt.Errorf("url: %s is not below an allowed folder; fetch.files allows %q", path, s.Files))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("url: %w", err))
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, pipeline.Permanent(fmt.Errorf("url: %s is not a file", path))
	}
	return f, nil
}

func (s *Stage) allowed(path string) bool {
	return slices.ContainsFunc(s.Files, func(folder string) bool {
		if folder, err := filepath.EvalSymlinks(folder); err == nil {
			inside, err := filepath.Rel(folder, path)
			return err == nil && filepath.IsLocal(inside)
		}
		return false
	})
}
