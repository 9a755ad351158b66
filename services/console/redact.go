package console

import (
	"fmt"
	"html/template"
	"reflect"
	"text/template/parse"

	"github.com/leatflow/leat/pkg/redact"
)

// redacting has a template take secrets out of all that it shows, before that is
// escaped: in a page &lt; would stand where a secret's pattern looks for its end.
func redacting(t *template.Template) *template.Template {
	for _, one := range t.Templates() {
		if one.Tree != nil {
			redactList(one.Tree.Root)
		}
	}
	return t
}

func redactList(list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			redactPipe(n.Pipe)
		case *parse.IfNode:
			redactBranch(&n.BranchNode)
		case *parse.RangeNode:
			redactBranch(&n.BranchNode)
		case *parse.WithNode:
			redactBranch(&n.BranchNode)
		}
	}
}

func redactBranch(n *parse.BranchNode) {
	redactList(n.List)
	redactList(n.ElseList)
}

// redactPipe appends "| redacted" to what is shown; what is only named is not.
func redactPipe(p *parse.PipeNode) {
	if len(p.Decl) > 0 {
		return
	}
	p.Cmds = append(p.Cmds, &parse.CommandNode{
		NodeType: parse.NodeCommand, Pos: p.Pos, Args: []parse.Node{parse.NewIdentifier("redacted").SetPos(p.Pos)},
	})
}

// redacted is a value as a page may show it.
func redacted(v any) any {
	r := reflect.Indirect(reflect.ValueOf(v))
	switch {
	case !r.IsValid(), r.CanInt(), r.CanUint(), r.CanFloat(), r.Kind() == reflect.Bool:
		return v
	case r.Kind() == reflect.String:
		return redact.Text(r.String())
	}
	return redact.Text(fmt.Sprint(v))
}
