// Command leat-demosource serves a make-believe ad platform and event feed, to
// try Leat on and to test it with.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/leatflow/leat/services/demosource"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	cfg := demosource.DefaultConfig()
	fs := flag.NewFlagSet("leat-demosource", flag.ContinueOnError)
	listen := fs.String("listen", "127.0.0.1:8090", "`address` to listen on")
	version := fs.Bool("version", false, "print the version and exit")
	cfg.Flags(fs)
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case *version:
		fmt.Println("leat-demosource", buildVersion())
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *listen, cfg); err != nil {
		slog.Error("stopped", "error", err)
		return 1
	}
	return 0
}

// serve answers requests until ctx ends, then finishes those it has begun.
func serve(ctx context.Context, address string, cfg demosource.Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: demosource.New(cfg), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	failed := make(chan error, 1) // by a Shutdown too
	go func() { failed <- server.Serve(listener) }()
	slog.Info("listening", "address", listener.Addr().String())
	fmt.Printf("try: curl 'http://%s/ads/report?account=%s'\n", listener.Addr(), cfg.Accounts[0])
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	finish, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(finish); err != nil {
		return errors.Join(err, server.Close())
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// buildVersion is the module's version or the commit, as the Go tool noted it.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}
