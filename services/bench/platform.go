package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/leatflow/leat/services/lab"
)

// The days of the report: two weeks over the turn of a half-year.
const (
	firstDay    = "2026-06-24"
	lastDay     = "2026-07-07"
	platformNow = "2026-07-08T12:00:00Z"
)

// A platform is a leat-demosource in a process of its own, with what was
// restated so far. Its answers are the same in each run.
type platform struct {
	*process
	accounts []string
	state    string // names what it says: the size and the shares restated
}

// platformFlags are what tells platforms apart.
type platformFlags struct {
	size     string
	accounts []string
	now      string // its clock; empty: the machine's
}

// report is a platform of two accounts whose clock stands still.
func report(size string) platformFlags {
	return platformFlags{size: size, accounts: []string{"acme", "globex"}, now: platformNow}
}

// newPlatform starts a platform.
func newPlatform(ctx context.Context, bin, folder string, f platformFlags) (*platform, error) {
	listen, err := lab.FreeAddress()
	if err != nil {
		return nil, err
	}
	args := []string{"--listen", listen, "--size", f.size, "--accounts", strings.Join(f.accounts, ",")}
	if f.now != "" {
		args = append(args, "--now", f.now)
	}
	p, err := start(folder, "source", nil, filepath.Join(bin, "leat-demosource"), args...)
	if err != nil {
		return nil, err
	}
	p.listen = listen
	return &platform{process: p, accounts: f.accounts, state: strings.Join(args[2:], " ")}, p.awaitListener(ctx)
}

func (p *platform) url() string { return "http://" + p.listen }

// revise restates a share of all numbers.
func (p *platform) revise(ctx context.Context, share string) error {
	p.state += " " + share
	_, err := lab.Call(ctx, http.MethodPost, p.url()+"/admin/revise?share="+share, nil)
	return err
}

// fault sets what goes wrong: name=value, or nothing.
func (p *platform) fault(ctx context.Context, fault string) error {
	_, err := lab.Call(ctx, http.MethodPost, p.url()+"/admin/faults?"+fault, nil)
	return err
}

// reportURL is what a source asks for.
func (p *platform) reportURL(account string) string {
	return fmt.Sprintf("%s/ads/report?account=%s&from=%s&to=%s", p.url(), account, firstDay, lastDay)
}

// stop kills the platform, which keeps nothing: asked to end, it would wait for
// connections that a killed worker left open.
func (p *platform) stop() error {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.ended
	return p.log.Close()
}

// adsSource writes the shipped source, changed to ask the platform.
func (p *platform) adsSource(shipped string, change ...string) func(folder string) error {
	replace := strings.NewReplacer(append([]string{
		"http://127.0.0.1:8090", p.url(),
	}, change...)...)
	return func(folder string) error {
		for _, name := range []string{"ads.yaml", "markets.csv"} {
			text, err := os.ReadFile(filepath.Join(shipped, name))
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(folder, name), []byte(replace.Replace(string(text))), 0o600); err != nil {
				return err
			}
		}
		return nil
	}
}
