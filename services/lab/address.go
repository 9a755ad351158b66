package lab

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports below those that the system gives to connections going out: one of these
// could take a port between the look and its use.
const firstPort, lastPort = 20000, 30000

// FreeAddress returns an address of loopback that nobody listens on.
func FreeAddress() (string, error) {
	const tries = 100
	for range tries {
		address := fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(lastPort-firstPort))
		if l, err := net.Listen("tcp", address); err == nil {
			return address, l.Close()
		}
	}
	return "", fmt.Errorf("no free port from %d to %d was found in %d tries", firstPort, lastPort, tries)
}
