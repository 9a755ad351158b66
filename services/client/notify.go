package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/redact"
)

// notifyPauses are how long who is to be told is left alone between tries.
var notifyPauses = []time.Duration{time.Second, 5 * time.Second, 25 * time.Second}

const (
	webhookLimit = 15 * time.Second // for an answer
	mailLimit    = time.Minute      // for the command
	mostSaid     = 300              // bytes of what either says to it
)

// Notify sends a report to those whom the configuration names: nothing, if there
// is nothing to hear of and they do not always want to know.
func (c *Client) Notify(ctx context.Context, r Report) error {
	if r.quiet() && !c.cfg.Check.Always {
		return nil
	}
	var errs []error
	if c.cfg.Check.Webhook != "" {
		errs = append(errs, c.webhook(ctx, r))
	}
	if c.cfg.Check.MailCommand != "" {
		errs = append(errs, c.mail(ctx, r))
	}
	return errors.Join(errs...)
}

// persist calls f again after pauses while it fails for a reason that may pass.
func (c *Client) persist(ctx context.Context, f func() error) error {
	err := f()
	for _, pause := range c.pauses {
		if err == nil || !pipeline.IsUnavailable(err) {
			return err
		}
		if stopped := sleep(ctx, pause); stopped != nil {
			return errors.Join(err, stopped)
		}
		err = f()
	}
	return err
}

// webhook posts the report, signed as Standard Webhooks has it. All tries have
// the same id, so that the receiver can tell that they are one message.
func (c *Client) webhook(ctx context.Context, r Report) error {
	kind := "check.differs"
	switch {
	case r.Err != nil:
		kind, r.Error = "check.failed", redact.Text(r.Err.Error())
	case r.quiet():
		kind = "check.agrees"
	}
	if r.List == nil {
		r.List = []Difference{}
	}
	body, err := json.Marshal(map[string]any{"type": kind, "timestamp": r.At.UTC(), "data": r})
	if err != nil {
		return err
	}
	signer, err := webhooks.NewWebhook(c.cfg.Check.WebhookSecret)
	if err != nil {
		return fmt.Errorf("check.webhook_secret: %w", err)
	}
	id := "check_" + uuid.NewString()
	err = c.persist(ctx, func() error { return post(ctx, c.cfg.Check.Webhook, id, signer, body) })
	if err != nil {
		return fmt.Errorf("check.webhook: %w", err)
	}
	return nil
}

// direct follows no redirect: the message is for the receiver that is named.
var direct = &http.Client{
	Timeout:       webhookLimit,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func post(ctx context.Context, address, id string, signer *webhooks.Webhook, body []byte) error {
	now := time.Now()
	signature, err := signer.Sign(id, now, body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "leat",
		webhooks.HeaderWebhookID: id, webhooks.HeaderWebhookTimestamp: strconv.FormatInt(now.Unix(), 10), webhooks.HeaderWebhookSignature: signature,
	} {
		request.Header.Set(name, value)
	}
	response, err := direct.Do(request)
	if failed, ok := errors.AsType[*url.Error](err); ok { // it quotes the address, which may hold a token
		return pipeline.Unavailable(failed.Err)
	}
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // what was read is all that counts
	said, _ := io.ReadAll(io.LimitReader(response.Body, mostSaid))
	switch {
	case response.StatusCode/100 == 2:
		return nil
	case response.StatusCode == http.StatusTooManyRequests, response.StatusCode >= 500:
		return pipeline.Unavailable(fmt.Errorf("%s: %q", response.Status, said))
	}
	return fmt.Errorf("%s: %q", response.Status, said)
}

// mail gives the report to the command. One that fails is tried again: the
// server that it sends to may be away.
func (c *Client) mail(ctx context.Context, r Report) error {
	text := r.text()
	return c.persist(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, mailLimit)
		defer cancel()
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", c.cfg.Check.MailCommand)
		cmd.Stdin, cmd.WaitDelay = strings.NewReader(text), time.Second
		if said, err := cmd.CombinedOutput(); err != nil {
			return pipeline.Unavailable(fmt.Errorf("check.mail_command: %w: %.*q", err, mostSaid, bytes.TrimSpace(said)))
		}
		return nil
	})
}
