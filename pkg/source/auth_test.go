package source

import (
	"errors"
	"strings"
	"testing"
)

func authFile(auth string) string {
	return rest + "accounts: [acme]\nhttp: {base_url: 'http://h', auth: {" + auth + "}}\n"
}

func TestEachMistakeOfAuthenticationSaysWhatIsAllowed(t *testing.T) {
	for auth, want := range map[string]string{
		``: "http.auth: found 0 ways (none); it must be one of bearer, basic, header, query, oauth2",
		`bearer: "${A}", query: {name: a, value: "${A}"}`: "http.auth: found 2 ways (bearer, query); it must be one of",
		`beare: "${A}"`:                                 "http.auth.beare: unknown key; did you mean bearer? allowed: bearer, basic, header, query, oauth2",
		`bearer: abc`:                                   "http.auth.bearer: holds no ${NAME} or ${file:/path}",
		`bearer: ""`:                                    "http.auth.bearer: missing",
		`bearer: "${A} ${b c}"`:                         "http.auth.bearer: holds a brace or $ that is none of",
		`bearer: "${file:secret}"`:                      "http.auth.bearer: holds no ${NAME} or ${file:/path}",
		`basic: {user: a}`:                              "http.auth.basic.password: missing",
		`basic: {user: a, password: hunter2}`:           "http.auth.basic.password: holds no",
		`header: {value: "${A}"}`:                       `http.auth.header.name: found ""; it must be a name`,
		`header: {name: "X Y", value: "${A}"}`:          `http.auth.header.name: found "X Y"`,
		`oauth2: {client_id: a, client_secret: "${A}"}`: `http.auth.oauth2.token_url: found ""; it must be an address`,
		`oauth2: {token_url: 'http://h/t', client_secret: "${A}"}`: "http.auth.oauth2.client_id: missing",
		`oauth2: {token_url: 'http://h/t', client_id: a}`:          "http.auth.oauth2.client_secret: missing",
	} {
		_, err := Parse([]byte(authFile(auth)), nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got\n%v\nwant\n%s", auth, err, want)
		}
	}
	if _, err := Parse([]byte(rest+"http: {base_url: 'http://h', auth: {bearer: '${A_{account}}'}}\n"), nil); err == nil ||
		!strings.Contains(err.Error(), "http.auth: holds {account}; the source has no accounts") {
		t.Errorf("got %v", err)
	}
	if _, err := Parse([]byte(rest+"http: {base_url: 'http://h', hosts: ['http://a']}\n"), nil); err == nil ||
		!strings.Contains(err.Error(), `http.hosts[0]: found "http://a"; it must be a host such as`) {
		t.Errorf("got %v", err)
	}
}

func TestExplainSaysHowButNoSecret(t *testing.T) {
	for auth, want := range map[string]string{
		`bearer: "${A}"`: "by a bearer token\n",
		`basic: {user: "u", password: "${A_{account}}"}`:                                                "by user and password, each account by its own\n",
		`header: {name: X-Key, value: "${A}"}`:                                                          "by the header X-Key\n",
		`query: {name: key, value: "${file:/run/secrets/{account}}"}`:                                   "by the parameter key, each account by its own\n",
		`oauth2: {token_url: 'http://h/t', client_id: a, client_secret: "${A}"}`:                        "by OAuth 2, as a client, at http://h/t\n",
		`oauth2: {token_url: 'http://h/t', client_id: a, client_secret: "${A}", refresh_token: "${B}"}`: "by OAuth 2, with a refresh token, at http://h/t\n",
	} {
		var b strings.Builder
		if err := parsed(t, authFile(auth)).Explain(&b); err != nil || !strings.Contains(b.String(), want) {
			t.Errorf("%s: %v, got\n%s", auth, err, b.String())
		}
	}
}

func TestExpandSecret(t *testing.T) {
	get := func(place string) (string, error) {
		if place == "NONE" {
			return "", errors.New("there is none")
		}
		return "<" + place + " {account}>", nil
	}
	for text, want := range map[string]string{
		"plain": "plain", "a ${B}": "a <B {account}>", "${B_{account}}": "<B_acme {account}>",
		"{account}:${file:/run/{account}/key}": "acme:<file:/run/acme/key {account}>",
	} {
		if got, err := ExpandSecret(text, "acme", get); got != want || err != nil {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	for text, account := range map[string]string{"${NONE}": "acme", "${B_{account}}": "..", "${file:/run/{account}}": "a/../../b", "{account}": ""} {
		if got, err := ExpandSecret(text, account, get); err == nil {
			t.Errorf("%s of %q became %q", text, account, got)
		}
	}
}
