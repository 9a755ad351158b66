package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/leatflow/leat/pkg/event"
	"github.com/leatflow/leat/pkg/rabbit"
)

// A feed is what a reader of leat.feed knows: the last rev of each document that
// it was told of.
type feed struct {
	next any // offset
	revs map[string]int64
}

// verifyFeed fails when a reader of the feed would not know the newest of each
// document, or know of a newer one than there is.
func (h *harness) verifyFeed(ctx context.Context) error {
	if err := h.readFeed(ctx); err != nil {
		return fmt.Errorf("read %s: %w", rabbit.Feed, err)
	}
	var wrong error
	for _, source := range sourceNames {
		cursor, err := h.lab.Docs.Collection(source).Find(ctx, bson.M{}, options.Find().SetProjection(bson.M{"rev": 1}))
		if err != nil {
			return err
		}
		var documents []struct {
			ID  string `bson:"_id"`
			Rev int64
		}
		if err := cursor.All(ctx, &documents); err != nil {
			return err
		}
		for _, d := range documents {
			if told := h.feed.revs[source+"/"+d.ID]; told != d.Rev && wrong == nil {
				wrong = fmt.Errorf("%s/%s has rev %d, and the feed's last of it is %d", source, d.ID, d.Rev, told)
			}
		}
	}
	return wrong
}

const feedSilence = time.Second // after which all of the feed was read

// readFeed reads on from where the last round ended.
func (h *harness) readFeed(ctx context.Context) error {
	t, err := h.tap(rabbit.Feed)
	if err != nil {
		return err
	}
	defer t.close()
	if err := t.ch.Qos(200, 0, false); err != nil {
		return err
	}
	deliveries, err := t.ch.Consume(rabbit.Feed, "", false, false, false, false, amqp.Table{"x-stream-offset": h.feed.next})
	if err != nil {
		return err
	}
	for {
		select {
		case d, ok := <-deliveries:
			if !ok {
				return errors.New("cancelled")
			}
			if err := h.feed.take(d); err != nil {
				return err
			}
			if err := d.Ack(false); err != nil {
				return err
			}
		case <-time.After(feedSilence):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var decoder, _ = zstd.NewReader(nil) // without options it has no error

func (f *feed) take(d amqp.Delivery) (err error) {
	body := d.Body
	if d.ContentEncoding == "zstd" {
		if body, err = decoder.DecodeAll(body, nil); err != nil {
			return err
		}
	}
	var updates event.Updates
	if err := json.Unmarshal(body, &updates); err != nil {
		return err
	}
	for _, u := range updates.Documents {
		name := u.Source + "/" + u.ID
		f.revs[name] = max(f.revs[name], u.Rev)
	}
	if offset, ok := d.Headers["x-stream-offset"].(int64); ok {
		f.next = offset + 1
	}
	return nil
}
