package mongodb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.uber.org/goleak"

	"github.com/leatflow/leat/pkg/mongodb"
	"github.com/leatflow/leat/pkg/pipeline"
	"github.com/leatflow/leat/pkg/pipetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open returns a fresh database of a server.
func open(t *testing.T, address string) *mongo.Database {
	t.Helper()
	_, name := pipetest.Mongo(t)
	db, err := mongodb.Open(mongodb.Config{URL: address, Database: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Client().Disconnect(context.Background()) })
	return db
}

func server(t *testing.T) string {
	address, _ := pipetest.Mongo(t)
	return address
}

const nobody = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100&connectTimeoutMS=100"

func TestWhatTheServerRefusesStaysAsItIs(t *testing.T) {
	t.Parallel()
	ctx, documents := t.Context(), open(t, server(t)).Collection("documents")
	insert := func(doc any) error {
		_, err := documents.InsertOne(ctx, doc)
		return err
	}
	if err := insert(bson.M{"_id": "a"}); err != nil {
		t.Fatal(err)
	}
	upsert := func(filter, update bson.M) error {
		_, err := documents.BulkWrite(ctx, []mongo.WriteModel{mongo.NewUpdateOneModel().SetUpsert(true).SetFilter(filter).SetUpdate(update)})
		return err
	}
	tests := map[string]error{
		"a duplicate key":                   insert(bson.M{"_id": "a"}),
		"a newer document":                  upsert(bson.M{"_id": "a", "rev": bson.M{"$lt": 1}}, bson.M{"$set": bson.M{"rev": 1}}),
		"an operator that there is not":     upsert(bson.M{"_id": "a"}, bson.M{"$nothing": bson.M{"rev": 1}}),
		"a document of 17 MiB":              insert(bson.M{"_id": "b", "text": strings.Repeat("x", 17<<20)}),
		"a document that cannot be encoded": insert(bson.M{"_id": "b", "f": func() {}}),
		"no document":                       insert(nil),
		"nothing found":                     documents.FindOne(ctx, bson.M{"_id": "none"}).Err(),
	}
	for name, err := range tests {
		got := mongodb.Classify(err)
		if err == nil || pipeline.IsUnavailable(got) || pipeline.IsPermanent(got) {
			t.Errorf("%s: %T %v is Unavailable: %v, want it as it is", name, err, got, pipeline.IsUnavailable(got))
		}
	}
	if !mongo.IsDuplicateKeyError(mongodb.Classify(tests["a newer document"])) {
		t.Errorf("a newer document: %v is no duplicate key", tests["a newer document"])
	}
}

func TestAServerThatIsAwayIsAnOutage(t *testing.T) {
	t.Parallel()
	db := open(t, nobody)
	_, insert := db.Collection("documents").InsertOne(t.Context(), bson.M{"_id": "a"})
	closed := open(t, server(t))
	if err := closed.Client().Disconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, late := closed.Collection("documents").InsertOne(t.Context(), bson.M{"_id": "a"})
	for name, err := range map[string]error{
		"nobody listens":            insert,
		"ping":                      mongodb.Ping(t.Context(), db),
		"the client is closed":      late,
		"a deadline":                fmt.Errorf("write: %w", context.DeadlineExceeded),
		"a primary that steps down": mongo.CommandError{Code: 189, Labels: []string{"RetryableWriteError"}},
		"the network":               mongo.CommandError{Labels: []string{"NetworkError"}},
		"marked before":             pipeline.Unavailable(errors.New("odd")),
	} {
		if got := mongodb.Classify(err); !pipeline.IsUnavailable(got) || got.Error() != err.Error() {
			t.Errorf("%s: %v, want Unavailable", name, got)
		}
	}
}

func TestAStopIsNoOutage(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := open(t, server(t)).Collection("documents").InsertOne(ctx, bson.M{"_id": "a"})
	if got := mongodb.Classify(err); got == nil || pipeline.IsUnavailable(got) || !errors.Is(got, context.Canceled) {
		t.Errorf("got %v, want the cancellation", got)
	}
	if mongodb.Classify(nil) != nil {
		t.Error("no error became one")
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	if err := mongodb.Ping(t.Context(), open(t, server(t))); err != nil {
		t.Error(err)
	}
}

func TestOpenSaysWhichSettingIsWrong(t *testing.T) {
	if _, err := mongodb.Open(mongodb.Config{URL: "postgres://x"}); err == nil || !strings.Contains(err.Error(), "mongodb.url") {
		t.Errorf("got %v, want an error that names mongodb.url", err)
	}
}
