package fetch

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/redact"
	"github.com/leatflow/leat/pkg/source"
	"github.com/leatflow/leat/services/access"
)

// judged reads an answer, unless it says that it is an error.
func (s *Stage) judged(ctx context.Context, t task, a Answer, k known) (cut pieces, err error) {
	if a.Unchanged {
		return s.read(ctx, t, a, k)
	}
	if a.file == nil {
		if a.file, err = s.Archive.Get(ctx, a.Hash); err != nil {
			return cut, err
		}
		defer a.close()
	}
	rule, said, err := t.src.ErrorIn(ctx, a.forCutting(a.file))
	switch {
	case err != nil:
		return cut, err
	case rule == nil:
		return s.read(ctx, t, a, k)
	case rule.Then == source.ThenReject:
		return s.rejectAnswer(ctx, t, a, said)
	}
	return cut, s.obey(ctx, t, a, rule, said)
}

// rejectAnswer makes a reject of a whole answer.
func (s *Stage) rejectAnswer(ctx context.Context, t task, a Answer, said string) (pieces, error) {
	cut := pieces{counts: map[string]int{"answers.fetched": 1, "answers.bytes": int(a.Bytes), "stats.rejected": 1}}
	if t.slice.Refresh && t.slice.Since == nil {
		cut.cursor = observed(a.ObservedAt)
	}
	reject, err := a.reject(said)
	if err != nil {
		return cut, err
	}
	return cut, insertRejects(ctx, s.DB, t.Job, a.N, t.src.Name, []source.Reject{reject})
}

// reject is a whole answer as a reject.
func (a Answer) reject(said string) (source.Reject, error) {
	head := make([]byte, min(a.Bytes, 4<<10))
	if _, err := a.file.ReadAt(head, 0); err != nil {
		return source.Reject{}, err
	}
	text := strings.ReplaceAll(strings.ToValidUTF8(string(head), "�"), "\x00", "�")
	return source.Reject{Position: "answer", Reason: isError + said, Record: redact.Text(text)}, nil
}

const isError = "the answer is an error: "

// obey does what a rule says about an answer that is an error: the next try asks again.
func (s *Stage) obey(ctx context.Context, t task, a Answer, rule *source.ErrorRule, said string) error {
	reason := redact.Text(isError + said)
	if err := markBroken(ctx, s.DB, t.Job, a.N, reason); err != nil {
		return err
	}
	err := fmt.Errorf("%s: %s", a.URL, reason)
	switch rule.Then {
	case source.ThenFail:
		return pipeline.Permanent(err)
	case source.ThenWait:
		u, wrong := address(t.slice, t.src)
		wait := access.RetryAfter("")
		if wrong == nil {
			wrong = s.budget(t, u).CoolDown(ctx, wait, err.Error())
		}
		if wrong != nil {
			return errors.Join(err, wrong)
		}
		return pipeline.RateLimited(err, wait)
	}
	return pipeline.Paced(err)
}
