package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/leatflow/leat/pkg/source"
)

// lookupsFile lies among the answers of NAME.test: what hosts say to http(), by
// address. Nobody is asked by a test.
const lookupsFile = "lookups.yaml"

// repliesOf reads it; it need not be there. The value null stands for 404.
func repliesOf(folder string) (map[string]source.Reply, error) {
	file := filepath.Join(folder, lookupsFile)
	text, err := os.ReadFile(file) //nolint:gosec // it lies beside the source file
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var said map[string]any
	if err := yaml.Unmarshal(text, &said); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	replies := make(map[string]source.Reply, len(said))
	for address, value := range said {
		body, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", file, address, err)
		}
		var r source.Reply
		r.Value, r.Err = source.ReadReply(body, true)
		replies[address] = r
	}
	return replies, nil
}
