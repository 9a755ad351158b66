package fetch

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/leatflow/leat/pkg/redact"
)

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// expand puts what the environment has for each ${NAME} into a setting's text,
// spelt as the place asks for. What comes from there is taken for a secret. Its
// error names the setting and the variable.
func expand(setting, text string, spell func(string) string) (string, error) {
	var missing []string
	text = variable.ReplaceAllStringFunc(text, func(name string) string {
		value, ok := os.LookupEnv(name[2 : len(name)-1])
		if !ok {
			missing = append(missing, name)
		}
		redact.Secret(value)
		hideUser(value)
		return spell(value)
	})
	if len(missing) > 0 {
		return "", fmt.Errorf("%s: %s is not in fetch's environment", setting, strings.Join(missing, ", "))
	}
	hideUser(text)
	return text, nil
}

// hideUser keeps the password of an address out of sight, and the header that is
// made of it.
func hideUser(address string) {
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return
	}
	password, _ := u.User.Password()
	redact.Secret(password)
	redact.Secret(base64.StdEncoding.EncodeToString([]byte(u.User.Username() + ":" + password)))
}
