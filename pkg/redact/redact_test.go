package redact

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestTextHasNoSecretsOfAForm(t *testing.T) {
	for in, want := range map[string]string{
		"amqp://leat:s3cret@host:5672/v":                             "amqp://leat:xxxxx@host:5672/v",
		"postgres://u:p%40ss@h/db?sslmode=disable":                   "postgres://u:xxxxx@h/db?sslmode=disable",
		"mongodb://u:p@ss/wo:rd@h1:1,h2:2/db":                        "mongodb://u:xxxxx@h1:1,h2:2/db",
		"amqp://:p@h":                                                "amqp://:xxxxx@h",
		`parse "amqp://u:p w@h": invalid userinfo`:                   `parse "amqp://u:xxxxx@h": invalid userinfo`,
		`{"url":"amqp://u:a\"b@h/","by":"x@y.z"}`:                    `{"url":"amqp://u:xxxxx@h/","by":"x@y.z"}`,
		"dial amqp://a:b@one: refused\nmongodb://c:d@two: timeout":   "dial amqp://a:xxxxx@one: refused\nmongodb://c:xxxxx@two: timeout",
		"host=h user=u password=s3cret dbname=d":                     "host=h user=u password=xxxxx dbname=d",
		"https://x.example/?token=abc&day=1":                         "https://x.example/?token=xxxxx&day=1",
		"http://127.0.0.1:9180/readyz":                               "http://127.0.0.1:9180/readyz",
		"mail a@b.example about https://x.example/y":                 "mail a@b.example about https://x.example/y",
		`{"headers": {"Authorization": "Bearer abc.def=="}, "x": 1}`: `{"headers": {"Authorization": "Bearer xxxxx"}, "x": 1}`,
		"Authorization: Basic dTpw\nHost: h":                         "Authorization: Basic xxxxx\nHost: h",
		`map[Authorization:[Bearer abcdef]]`:                         `map[Authorization:[Bearer xxxxx]]`,
		`{\"authorization\": \"token\"}`:                             `{\"authorization\": \"xxxxx\"}`,
		"":                                                           "",
	} {
		if got := Text(in); got != want {
			t.Errorf("Text(%q)\n  = %q\nwant %q", in, got, want)
		}
	}
}

func TestTextHasNoSecretThatItWasToldOf(t *testing.T) {
	const value = "s3cr€t/\"ü & <1>"
	Secret(value)
	Secret(value)
	Secret("abc") // too short: it stands in other words
	line, err := zapcore.NewJSONEncoder(zapcore.EncoderConfig{}).EncodeEntry(zapcore.Entry{}, []zap.Field{zap.String("x", value)})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		value, url.QueryEscape(value), url.PathEscape(value), fmt.Sprintf("%q", value), line.String(),
		url.UserPassword("me", value).String(), "https://x.example/?a=" + url.QueryEscape(value) + "&b=1", value + value, "cut off: " + value[:8],
	} {
		got := Text(text)
		if got == text || strings.Contains(got, "s3cr") || !strings.Contains(got, "xxxxx") {
			t.Errorf("Text(%q) = %q", text, got)
		}
	}
	if got := Text("abcdef"); got != "abcdef" {
		t.Errorf("a short value was taken out: %q", got)
	}
}
