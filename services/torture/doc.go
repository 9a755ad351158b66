// Command torture breaks Leat in every way that is known to us, all the while it
// works, and then looks whether anything was lost, counted twice or left stale.
//
// In: the servers' addresses in the environment, Leat's workers built with the
// tag torture, a seed. Out: the faults by kind, what they cost, and a verdict:
// after each round of faults every row and every document is compared with those
// of a fresh Leat that saw no fault.
//
// A harness that finds nothing is worth something only if it finds what is there.
// Each of these was put into the workers by hand, and found with the flags
// --seed 3 --round 40, without faults to servers:
//
//	MUTATIONS
package main
