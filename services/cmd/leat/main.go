// Command leat is what an operator has: it submits jobs and shows what became
// of them, checks rows against documents, and says how the servers do.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
