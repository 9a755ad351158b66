package settings_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/leatflow/leat/pkg/daemon"
	"github.com/leatflow/leat/services/settings"
)

// The file that we ship loads, and says what the defaults are.
func TestShippedFile(t *testing.T) {
	for _, name := range []string{"LEAT_RABBITMQ_URL", "LEAT_RABBITMQ_MANAGEMENT_URL", "LEAT_POSTGRES_URL", "LEAT_MONGODB_URL"} {
		t.Setenv(name, "")
	}
	got := settings.Default()
	if err := daemon.Load("../../config/leat.yaml", &got); err != nil {
		t.Fatal(err)
	}
	if want := settings.Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("the file says\n%+v\nthe defaults are\n%+v", got, want)
	}
}

func TestValidateNamesTheKey(t *testing.T) {
	s := settings.Default()
	s.Delta.BatchSize = 0
	if err := s.Validate(); err == nil || err.Error() != "delta.batch_size: a whole number from 1 to 10000 is allowed" {
		t.Errorf("err = %v", err)
	}
}

func TestAWebhookNeedsAnAddressAndAKey(t *testing.T) {
	for name, test := range map[string]struct{ address, secret, want string }{
		"none":        {"", "", ""},
		"both":        {"https://example.com/hook", "whsec_" + strings.Repeat("YWJj", 8), ""},
		"no address":  {"example.com/hook", "whsec_" + strings.Repeat("YWJj", 8), "check.webhook: "},
		"no key":      {"https://example.com/hook", "", "check.webhook_secret: "},
		"a short key": {"https://example.com/hook", "whsec_YWJj", "check.webhook_secret: "},
		"no base64":   {"https://example.com/hook", "whsec_" + strings.Repeat("?", 40), "check.webhook_secret: "},
		"a long key":  {"https://example.com/hook", strings.Repeat("YWJj", 22), "check.webhook_secret: "},
	} {
		s := settings.Default()
		s.Check.Webhook, s.Check.WebhookSecret = test.address, test.secret
		err := s.Validate()
		if (err == nil) != (test.want == "") || err != nil && !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
	}
}
