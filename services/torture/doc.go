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
//	marks deleted before MongoDB confirms  leat check: 36 differences
//	rev taken after the rows were read     leat check: 75 differences (*)
//	no rev in the filter of an update      the feed's last rev of a document is above the document's
//	what was seen and equal forgotten      702 lines differ from the run without faults
//	requeued without limit                 poison that is not a dead letter, but waits for ever
//
// (*) By --only sleeper, with sleepers at the points rev and computed alone, and
// the rev taken by another connection: by that of the transaction it does no
// harm, for whoever has lost its locks has lost that connection too.
//
// Not found was the client library's own recovery switched on, in 130 faults of
// all kinds and some 40 of the kind old-session, which is made for it. What it does
// wrong (a stale acknowledgement takes another message with it) is found each time
// by TestAStaleAckAcknowledgesNoOtherMessage of pkg/rabbit.
package main
