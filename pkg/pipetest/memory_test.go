package pipetest_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/leatflow/leat/pkg/pipetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	pipetest.TestSourceAndSink(t, func(*testing.T) pipetest.Broker {
		m := pipetest.NewMemory("leat.delta", "leat.rollup")
		return pipetest.Broker{Source: m, Sink: m, Queue: "leat.delta", Other: "leat.rollup"}
	})
}
