package client

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// folder is a folder with a good source file, a broken one and one of another name.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"shop.yaml": shop, "bad.yaml": "source: bad\nrecords:\n  - eech: shops\n", "other.yaml": shop,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSourcesListsTheGoodAndNamesTheBad(t *testing.T) {
	rows, err := Sources(folder(t))
	if len(rows) != 3 || rows[2].Name != "shop" || strings.Join(rows[2].Types, " ") != "shop item photo" || rows[2].Problem != "" {
		t.Errorf("rows %+v, want shop with its types", rows)
	}
	if rows[0].Name != "bad" || !strings.Contains(rows[0].Problem, "eech") {
		t.Errorf("rows %+v, want bad with what is wrong", rows)
	}
	if err == nil || !strings.Contains(err.Error(), "bad.yaml:3") || !strings.Contains(err.Error(), "other.yaml") {
		t.Errorf("error %v, want the places of what is wrong", err)
	}
}

func TestLint(t *testing.T) {
	dir := folder(t)
	for name, test := range map[string]struct {
		files   []string
		checked int
		wrong   []string // the files
	}{
		"the folder":  {nil, 3, []string{"bad.yaml", "other.yaml"}},
		"a good file": {[]string{"shop.yaml"}, 1, nil},
		"a bad file":  {[]string{"bad.yaml"}, 1, []string{"bad.yaml"}},
	} {
		var files []string
		for _, f := range test.files {
			files = append(files, filepath.Join(dir, f))
		}
		checked, found, err := Lint(dir, files)
		if err != nil || checked != test.checked {
			t.Errorf("%s: checked %d, %v; want %d", name, checked, err, test.checked)
		}
		wrong := map[string]bool{}
		for _, p := range found {
			wrong[filepath.Base(p.File)] = true
			if !strings.HasPrefix(p.String(), dir) {
				t.Errorf("%s: %s does not begin with the file", name, p)
			}
		}
		if got := strings.Join(sortedKeys(wrong), " "); got != strings.Join(test.wrong, " ") {
			t.Errorf("%s: found %s wrong, want %v", name, got, test.wrong)
		}
	}
	if _, _, err := Lint(dir, []string{"/nowhere.yaml"}); err == nil {
		t.Error("a file that is not there is no error")
	}
}

func TestFindSource(t *testing.T) {
	dir := folder(t)
	if s, err := FindSource(dir, "shop"); err != nil || s.Name != "shop" {
		t.Errorf("shop: %v, %v", s, err)
	}
	for name, want := range map[string]string{"bad": "leat source lint", "shpo": "there are shop"} {
		if _, err := FindSource(dir, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", name, err, want)
		}
	}
}
