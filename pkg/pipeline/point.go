//go:build !torture

package pipeline

// Point names a place between two steps, where scripts/torture has a worker die
// or stand still. It does nothing but in a build with the tag torture.
func Point(string) {}
