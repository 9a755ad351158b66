package daemon

import (
	"fmt"
	"io"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/leatflow/leat/pkg/redact"
)

// LogConfig says what is logged, and how.
type LogConfig struct {
	// Level is debug, info, warn or error.
	Level string `mapstructure:"level"`
	// Format is json or console. Empty: console on a terminal, else json.
	Format string `mapstructure:"format"`
}

func (c LogConfig) validate() error {
	switch c.Level {
	case "debug", "info", "warn", "error":
	default:
		return fmt.Errorf("log.level is %q; it may be debug, info, warn or error", c.Level)
	}
	switch c.Format {
	case "", "json", "console":
		return nil
	default:
		return fmt.Errorf("log.format is %q; it may be json, console or empty", c.Format)
	}
}

// newLogger returns a logger whose every line says which process wrote it, and
// in which no line has a password.
func newLogger(name string, cfg LogConfig, out *os.File) *zap.Logger {
	level, err := zapcore.ParseLevel(cfg.Level)
	if err != nil {
		level = zapcore.InfoLevel // a daemon's level has been validated
	}
	enc := zapcore.EncoderConfig{
		TimeKey: "time", LevelKey: "level", MessageKey: "msg", NameKey: "logger", StacktraceKey: "stack",
		EncodeTime:     zapcore.RFC3339NanoTimeEncoder,
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.StringDurationEncoder,
		EncodeName:     zapcore.FullNameEncoder,
	}
	lines := zapcore.Lock(zapcore.AddSync(redactor{out}))
	if cfg.Format == "console" || cfg.Format == "" && isTerminal(out) {
		enc.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		enc.EncodeLevel = zapcore.CapitalLevelEncoder
		return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(enc), lines, level)).Named(name)
	}
	host, _ := os.Hostname() // a log line without a host is still a log line
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(enc), lines, level)).With(
		zap.String("service", name),
		zap.String("version", Version()),
		zap.String("host", host),
		zap.Int("pid", os.Getpid()))
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// A redactor takes the secrets out of what is written through it: errors of
// drivers quote the URLs they were given.
type redactor struct{ io.Writer }

func (r redactor) Write(line []byte) (int, error) {
	if _, err := io.WriteString(r.Writer, redact.Text(string(line))); err != nil {
		return 0, err
	}
	return len(line), nil
}
