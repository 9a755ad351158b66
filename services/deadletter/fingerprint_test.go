package deadletter

import "testing"

func TestTheSameCauseIsTheSameGroup(t *testing.T) {
	same := [][2]string{
		{`source: found "adz"; there are ads`, `source: found "asd"; there are ads`},
		{`from: "2026-02-30" is not a day`, `from: "2026-02-31" is not a day`},
		{`from 2026-02-03 is after to 2026-02-01`, `from 2025-12-03 is after to 2024-02-01`},
		{`as_of: 2026-11-20T15:04:05Z is in the future`, `as_of: 2027-01-01T00:00:00.123+02:00 is in the future`},
		{`the body has 10485760 bytes; a job has at most 65536`, `the body has 70000 bytes; a job has at most 65536`},
		{`answer of https://a.example/x?day=1: 404 Not Found`, `answer of http://b.example:8080/y/z: 404 Not Found`},
		{`correlation_id: job 0198f1c2-aaaa-7000-8000-000000000001 is not known`, `correlation_id: job 11111111-2222-3333-4444-555555555555 is not known`},
		{"panic: boom\ngoroutine 7 [running]:\nmain.f(0xc000123456)\n\tmain.go:12 +0x1d", "panic: boom\ngoroutine 921 [running]:\nmain.f(0xc0009999aa)\n\tmain.go:12 +0x1d"},
		{`message 6f1c8a52d2c04e1f9a3b5d7e8f901234 has no object -3.5`, `message a0a1a2a3a4a5a6a7a8a9aaabacadaeaf has no object 12`},
		{`key 'a b' is twice`, `key 'c' is twice`},
		{`url: /etc/passwd is not below an allowed folder`, `url: /srv/x/y.csv is not below an allowed folder`},
		{`found "a \" b"`, `found "c"`},
	}
	for _, s := range same {
		if a, b := fingerprint("delta", "permanent", s[0]), fingerprint("delta", "permanent", s[1]); a != b {
			t.Errorf("%q and %q are two groups: %q, %q", s[0], s[1], Shape(s[0]), Shape(s[1]))
		}
	}
}

func TestAnotherCauseIsAnotherGroup(t *testing.T) {
	one := fingerprint("delta", "permanent", "decode leat.part.v2: unexpected end")
	for what, other := range map[string]string{
		"stage": fingerprint("fetch", "permanent", "decode leat.part.v2: unexpected end"),
		"class": fingerprint("delta", "crashed", "decode leat.part.v2: unexpected end"),
		"error": fingerprint("delta", "permanent", "decode leat.part.v2: unexpected beginning"),
	} {
		if one == other {
			t.Errorf("another %s is the same group", what)
		}
	}
	if Shape("it's John's, isn't it") != "it's John's, isn't it" {
		t.Errorf("an apostrophe is taken for a quote: %q", Shape("it's John's, isn't it"))
	}
}
