package source

import (
	"context"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Pick reads values out of an answer in JSON: found gets each text, number, true
// or false that stands at one of the paths, in the answer's order; null is
// empty, and an empty path is none. Lists on the way are walked, so that ads.id is that of each ad. Nothing
// of the answer is held.
//
// An error about the answer's form is a *FormError; those of found are returned
// as they are.
func Pick(ctx context.Context, a Answer, paths []string, found func(path int, value string) error) error {
	in, err := openAnswer(ctx, a, false)
	if err != nil {
		return err
	}
	defer in.close()
	p := &picker{newReference(in.stream), found}
	var all []wanted
	for i, path := range paths {
		if path != "" {
			all = append(all, wanted{i, strings.Split(path, ".")})
		}
	}
	return p.value(all)
}

type picker struct {
	*reference
	found func(path int, value string) error
}

// wanted is what is left of a path.
type wanted struct {
	index int
	rest  []string
}

// value reads one value, at which paths may end or go on.
func (p *picker) value(paths []wanted) error {
	if len(paths) == 0 {
		return p.wrong(p.SkipValue())
	}
	t, err := p.ReadToken()
	if err != nil {
		return p.formError(err)
	}
	switch t.Kind() {
	case jsontext.KindBeginObject:
		return p.object(paths)
	case jsontext.KindBeginArray:
		for p.PeekKind() != jsontext.KindEndArray {
			if err := p.value(paths); err != nil {
				return err
			}
		}
		_, err := p.ReadToken()
		return p.wrong(err)
	}
	value := t.String()
	if t.Kind() == jsontext.KindNull {
		value = ""
	}
	for _, w := range paths {
		if len(w.rest) == 0 {
			if err := p.found(w.index, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// object reads the rest of an object.
func (p *picker) object(paths []wanted) error {
	for p.PeekKind() != jsontext.KindEndObject {
		name, err := p.ReadToken()
		if err != nil {
			return p.formError(err)
		}
		var inner []wanted
		for _, w := range paths {
			if len(w.rest) > 0 && w.rest[0] == name.String() {
				inner = append(inner, wanted{w.index, w.rest[1:]})
			}
		}
		if err := p.value(inner); err != nil {
			return err
		}
	}
	_, err := p.ReadToken()
	return p.wrong(err)
}

func (p *picker) wrong(err error) error {
	if err == nil {
		return nil
	}
	return p.formError(err)
}
