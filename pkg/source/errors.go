package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// An ErrorRule says by what an answer is known that is an error, though its status
// is 200, and what to do about it.
type ErrorRule struct {
	Path   string   `yaml:"path"`   // of the field that tells, dots between names
	Equals []string `yaml:"equals"` // what it says then, as written; absent: anything but empty, null, false and 0
	Then   string   `yaml:"then"`   // retry, wait, reject or fail; default retry
}

// What is done about an answer that is an error.
const (
	ThenRetry  = "retry"  // asked again, up to fetch.max_attempts
	ThenWait   = "wait"   // as 429: nobody asks for a while, and no attempt is used up
	ThenReject = "reject" // a reject, and no more
	ThenFail   = "fail"   // a dead letter
)

// errorHead is how much of an answer is looked at: errors are short.
const errorHead = 64 << 10

// errSaid ends a search that has found what it was for.
var errSaid = errors.New("found")

// ErrorIn returns the first of fetch.errors that an answer's beginning meets, with
// what it says; nil for none. Where that is no JSON it meets none.
func (s *Source) ErrorIn(ctx context.Context, a Answer) (met *ErrorRule, said string, err error) {
	if len(s.Fetch.Errors) == 0 {
		return nil, "", nil
	}
	a.Encoding = s.Fetch.Report.Encoding
	in, err := openAnswer(ctx, a, false)
	if err != nil {
		return nil, "", passForm(err)
	}
	defer in.close()
	paths := make([]wanted, len(s.Fetch.Errors))
	for i, r := range s.Fetch.Errors {
		paths[i] = wanted{i, strings.Split(r.Path, ".")}
	}
	first := len(paths)
	p := &picker{newReference(io.LimitReader(in.stream, errorHead)), func(i int, value string) error {
		if i < first && s.Fetch.Errors[i].meets(value) {
			first, said = i, fmt.Sprintf("%s is %.100q", s.Fetch.Errors[i].Path, value)
		}
		if first == 0 {
			return errSaid
		}
		return nil
	}}
	if err := p.value(paths); !errors.Is(err, errSaid) && passForm(err) != nil {
		return nil, "", err
	}
	if first == len(paths) {
		return nil, "", nil
	}
	return s.Fetch.Errors[first], said, nil
}

// passForm leaves out what is wrong with an answer's form: cutting says it better,
// and here only the beginning was read.
func passForm(err error) error {
	if _, broken := errors.AsType[*FormError](err); broken {
		return nil
	}
	return err
}

func (r *ErrorRule) meets(value string) bool {
	if len(r.Equals) == 0 {
		return !slices.Contains([]string{"", "false", "0"}, value)
	}
	return slices.Contains(r.Equals, value)
}

// errorRules checks fetch.errors.
func (v *validator) errorRules() {
	for i, r := range v.Fetch.Errors {
		at := index("fetch.errors", i)
		v.fieldPath(join(at, "path"), r.Path)
		v.oneOf(join(at, "then"), r.Then, ThenRetry, ThenWait, ThenReject, ThenFail)
	}
	if len(v.Fetch.Errors) > 0 && (v.Fetch.Stream != nil || v.Fetch.Poll != nil) {
		v.failf("fetch.errors", "has no use with fetch.stream and fetch.poll")
	}
}

func (r *ErrorRule) explain() string {
	what := "says anything"
	if len(r.Equals) > 0 {
		what = "is " + strings.Join(r.Equals, " or ")
	}
	return fmt.Sprintf("an answer in which %s %s is an error: %s", r.Path, what, r.Then)
}
