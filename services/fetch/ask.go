package fetch

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/source"
)

// address returns where a slice is asked for. In a job's own address no variable
// stands for anything: its sender need not know them.
func address(s event.Slice, src *source.Source) (*url.URL, error) {
	if s.URL != "" {
		return parseAddress(s.URL)
	}
	base, err := baseURL(src)
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("source %s: %w", src.Name, err))
	}
	path, err := pathOf(s, src)
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("source %s: %w", src.Name, err))
	}
	text := base + path
	switch {
	case s.Report != nil && s.Report.URL != "":
		text = s.Report.URL
	case s.Since == nil:
		text = paged(text, src.Fetch.Pages, s.Page)
	}
	u, err := parseAddress(text)
	if err != nil {
		return nil, err
	}
	if from, err := url.Parse(base); err == nil && u.User == nil && u.Host == from.Host {
		u.User = from.User // the address of a page does not name the user
	}
	return u, nil
}

// pathOf is what a slice asks for, below base_url.
func pathOf(s event.Slice, src *source.Source) (string, error) {
	setting, text, fill := "fetch.report.path", src.Fetch.Report.Path, []string{"{account}", url.QueryEscape(s.Account), "{from}", s.From, "{to}", s.To}
	switch c := src.Fetch.Changes; {
	case s.Since != nil:
		setting, text, fill = "fetch.changes.path", c.Path, append(fill, "{cursor}", url.QueryEscape(*s.Since))
	case s.IDs != nil:
		setting, text, fill = "fetch.changes.report", c.Report, append(fill, "{ids}", escaped(s.IDs))
	case s.Report != nil && s.Report.ID != "":
		setting, text = "fetch.report.async."+s.Report.Step, stepPath(src.Fetch.Report.Async, s.Report.Step)
		fill = append(fill, "{id}", strings.ReplaceAll(url.QueryEscape(s.Report.ID), "+", "%20"))
	}
	path, err := expand(setting, text, url.QueryEscape)
	return strings.NewReplacer(fill...).Replace(path), err
}

// stepPath is what a step asks about a report that was created.
func stepPath(a *source.Async, step string) string {
	switch step {
	case event.ReportDownload:
		return a.Download
	case event.ReportDelete:
		return a.Delete
	}
	return a.Poll
}

func escaped(ids []string) string {
	all := make([]string, len(ids))
	for i, id := range ids {
		all[i] = url.QueryEscape(id)
	}
	return strings.Join(all, ",")
}

func baseURL(src *source.Source) (string, error) {
	base, err := expand("http.base_url", src.HTTP.BaseURL, func(value string) string { return value })
	return strings.TrimSuffix(base, "/"), err
}

// parseAddress reads an address: http, https, a file, or the archive.
func parseAddress(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		// The reason stays away: it may quote a piece of a password.
		return nil, pipeline.Permanent(fmt.Errorf("url: %q is not an address; special characters of a user or password are percent-encoded", address))
	}
	switch u.Scheme {
	case "http", "https", "file", "archive":
		return u, nil
	}
	return nil, pipeline.Permanent(fmt.Errorf("url: found %q; %s are allowed", address, strings.Join(schemes, ", ")))
}
