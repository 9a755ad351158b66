package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A machine is what the figures were measured on.
type machine struct {
	Cores     int     `json:"cores"`
	Processor string  `json:"processor"`
	MemoryGB  float64 `json:"memory_gb"`
	Go        string  `json:"go"`
	Postgres  string  `json:"postgresql"`
	RabbitMQ  string  `json:"rabbitmq"`
	Documents string  `json:"document_server"`
}

func (l *site) machine(ctx context.Context) (m machine, err error) {
	m = machine{Cores: runtime.NumCPU(), Go: runtime.Version(), Processor: fieldOf("/proc/cpuinfo", "model name")}
	_, _ = fmt.Sscan(fieldOf("/proc/meminfo", "MemTotal"), &m.MemoryGB) // 0 where the kernel does not say
	m.MemoryGB = float64(int(m.MemoryGB/1e5)) / 10
	if err := l.DB.QueryRow(ctx, `SHOW server_version`).Scan(&m.Postgres); err != nil {
		return m, err
	}
	var overview struct {
		Version string `json:"rabbitmq_version"`
	}
	if err := l.Manage(ctx, "GET", "/api/overview", nil, &overview); err != nil {
		return m, err
	}
	m.RabbitMQ = overview.Version
	var build struct {
		Version  string
		FerretDB struct{ Version string } `bson:"ferretdb"`
	}
	err = l.Docs.RunCommand(ctx, bson.D{{Key: "buildInfo", Value: 1}}).Decode(&build)
	m.Documents = "MongoDB " + build.Version
	if build.FerretDB.Version != "" {
		m.Documents = "FerretDB " + build.FerretDB.Version + " on DocumentDB"
	}
	return m, err
}

// fieldOf returns the value of the first line that begins with a name.
func fieldOf(file, name string) string {
	text, _ := os.ReadFile(file) // of another kernel: nothing
	for line := range strings.Lines(string(text)) {
		if before, after, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(before) == name {
			return strings.TrimSpace(after)
		}
	}
	return ""
}
