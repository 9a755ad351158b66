package source

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"strings"
)

// Auth says how Leat shows the source who it is: in one of these ways. Texts
// hold ${NAME}, a variable of the worker's environment, ${file:/path}, the text of a
// file there, and {account}; what is secret stands in no source file.
type Auth struct {
	Bearer string     `yaml:"bearer"`
	Basic  *BasicAuth `yaml:"basic"`
	Header *NamedAuth `yaml:"header"`
	Query  *NamedAuth `yaml:"query"`
	OAuth2 *OAuth2    `yaml:"oauth2"`
}

// BasicAuth is a user with a password.
type BasicAuth struct {
	User     string `yaml:"user"`
	Password string `yaml:"password"`
}

// NamedAuth is a secret in a header or parameter of a name.
type NamedAuth struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

// OAuth2 is the grant of client credentials, or of a refresh token where there is one.
type OAuth2 struct {
	TokenURL     string   `yaml:"token_url"`
	ClientID     string   `yaml:"client_id"`
	ClientSecret string   `yaml:"client_secret"`
	RefreshToken string   `yaml:"refresh_token"`
	Scopes       []string `yaml:"scopes"`
}

// Texts returns what is written of the way, by its path within auth.
func (a *Auth) Texts() map[string]string {
	texts := a.secrets()
	if a.Basic != nil {
		texts["basic.user"] = a.Basic.User
	}
	if a.OAuth2 != nil {
		texts["oauth2.client_id"] = a.OAuth2.ClientID
		texts["oauth2.token_url"] = a.OAuth2.TokenURL
	}
	return texts
}

// secrets returns those of the texts that must come from elsewhere.
func (a *Auth) secrets() map[string]string {
	texts := map[string]string{"bearer": a.Bearer}
	if a.Basic != nil {
		texts["basic.password"] = a.Basic.Password
	}
	if a.Header != nil {
		texts["header.value"] = a.Header.Value
	}
	if a.Query != nil {
		texts["query.value"] = a.Query.Value
	}
	if a.OAuth2 != nil {
		texts["oauth2.client_secret"] = a.OAuth2.ClientSecret
		texts["oauth2.refresh_token"] = a.OAuth2.RefreshToken
	}
	maps.DeleteFunc(texts, func(_, text string) bool { return text == "" })
	return texts
}

// PerAccount reports whether each account has credentials of its own.
func (a *Auth) PerAccount() bool {
	if a == nil {
		return false
	}
	for _, text := range a.Texts() {
		if strings.Contains(text, accountPlace) {
			return true
		}
	}
	return false
}

const accountPlace = "{account}"

// secretPlace is where a secret stands in a text, {account} within it included.
var secretPlace = regexp.MustCompile(`\$\{((?:[A-Za-z_]|\{account\})(?:[A-Za-z0-9_]|\{account\})*|file:/(?:[^{}$]|\{account\})+)\}`)

// anyPlace is secretPlace, or {account} outside of one.
var anyPlace = regexp.MustCompile(secretPlace.String() + `|\{account\}`)

// auth checks that there is one way, that all of it is there, and that no secret
// stands in the file itself.
func (v *validator) auth(at string, a *Auth) {
	if a == nil {
		return
	}
	var ways []string
	for _, way := range []string{"bearer", "basic", "header", "query", "oauth2"} {
		if v.has(join(at, way)) {
			ways = append(ways, way)
		}
	}
	if len(ways) != 1 {
		v.failf(at, "found %d ways (%s); it must be one of bearer, basic, header, query, oauth2", len(ways), orElse(strings.Join(ways, ", "), "none"))
	}
	v.authWays(at, a)
	secrets := a.secrets()
	for path, text := range a.Texts() {
		if _, is := secrets[path]; is {
			v.secret(join(at, path), text)
		}
		v.places(join(at, path), text)
	}
}

func (v *validator) authWays(at string, a *Auth) {
	if v.has(at + ".bearer") {
		v.required(at+".bearer", a.Bearer)
	}
	if a.Basic != nil {
		v.required(at+".basic.user", a.Basic.User)
		v.required(at+".basic.password", a.Basic.Password)
	}
	for way, named := range map[string]*NamedAuth{"header": a.Header, "query": a.Query} {
		if named == nil {
			continue
		}
		v.required(at+"."+way+".value", named.Value)
		if !parameterName.MatchString(named.Name) {
			v.failf(at+"."+way+".name", "found %s; it must be a name of letters, digits, - and _", found(named.Name))
		}
	}
	if o := a.OAuth2; o != nil {
		v.required(at+".oauth2.client_id", o.ClientID)
		v.required(at+".oauth2.client_secret", o.ClientSecret)
		u, err := url.Parse(variable.ReplaceAllString(o.TokenURL, "1"))
		if !strings.HasPrefix(o.TokenURL, "${") && (err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil) {
			v.failf(at+".oauth2.token_url", "found %s; it must be an address such as https://auth.example.com/token", found(o.TokenURL))
		}
	}
}

var parameterName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$`)

func (v *validator) required(path, text string) {
	if text == "" {
		v.failf(path, "missing")
	}
}

// secret checks that a secret comes from elsewhere, and does not say what is here.
func (v *validator) secret(path, text string) {
	if !secretPlace.MatchString(text) {
		v.failf(path, "holds no ${NAME} or ${file:/path}; a secret is taken from the worker's environment or a file, and never written here")
	}
}

// places checks that all braces of a text are places that are known.
func (v *validator) places(path, text string) {
	if strings.ContainsAny(anyPlace.ReplaceAllString(text, ""), "${}") {
		v.failf(path, "holds a brace or $ that is none of ${NAME}, ${file:/path} and {account}")
	}
}

// ExpandSecret fills in a text's places: get is asked for what stands in ${…},
// after {account} was filled in, which may be no part of a path upward.
func ExpandSecret(text, account string, get func(place string) (string, error)) (string, error) {
	if strings.Contains(text, accountPlace) && (strings.ContainsAny(account, "/\\${}\x00") || account == "." || account == ".." || account == "") {
		return "", fmt.Errorf("account %s cannot be part of a secret's name", found(account))
	}
	var wrong error
	out := anyPlace.ReplaceAllStringFunc(text, func(place string) string {
		if place == accountPlace {
			return account
		}
		value, err := get(strings.ReplaceAll(place[2:len(place)-1], accountPlace, account))
		wrong = cmp.Or(wrong, err)
		return value
	})
	return out, wrong
}

// explain says how, without any secret.
func (a *Auth) explain() string {
	var text string
	switch {
	case a.Basic != nil:
		text = "user and password"
	case a.Header != nil:
		text = "the header " + a.Header.Name
	case a.Query != nil:
		text = "the parameter " + a.Query.Name
	case a.OAuth2 != nil && a.OAuth2.RefreshToken != "":
		text = "OAuth 2, with a refresh token, at " + a.OAuth2.TokenURL
	case a.OAuth2 != nil:
		text = "OAuth 2, as a client, at " + a.OAuth2.TokenURL
	default:
		text = "a bearer token"
	}
	if a.PerAccount() {
		text += ", each account by its own"
	}
	return text
}
