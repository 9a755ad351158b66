package daemon

import (
	"cmp"
	"runtime/debug"
)

// version is set when a release is built: -ldflags "-X
// github.com/leatflow/leat/pkg/daemon.version=v1.2.3".
var version string

// Version is the release's name, else the commit the binary was built from, else
// "unknown".
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	var commit, modified string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "+modified"
		}
	}
	return cmp.Or(commit, "unknown") + modified
}
