// Command torture breaks Leat in every way that is known to us, all the while it
// works, and then looks whether anything was lost, counted twice or left stale.
//
// In: the servers' addresses in the environment, Leat's workers built with the
// tag torture, a seed. Out: the faults by kind, what they cost, and a verdict:
// after each round of faults every row and every document is compared with those
// of a fresh Leat that saw no fault.
//
// A harness that finds nothing is worth something only if it finds what is there.
// Each of these was put into the workers by hand, and found in the first round of
// seed 3, without faults to servers:
//
//	acknowledged before published          a job never ends: no row of a message that delta names
//	no outputs read back from the ledger   a job never ends, by the same
//	marks deleted before MongoDB confirms  leat check: documents differ from the rows
//	rev taken after the rows were read     REV_AFTER
//	no rev in the filter of an update      the feed's last rev of a document is above the document's
//	what was seen and equal forgotten      rows and documents differ from the run without faults
//	requeued without limit                 messages that wait for ever: poison that is no dead letter
//	the client library's own recovery      OWN_RECOVERY
package main
