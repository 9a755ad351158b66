package rabbit_test

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leatflow/leat/pkg/pipetest"
	"github.com/leatflow/leat/pkg/rabbit"
)

// People look at a dead letter in the management UI, and it goes back each time:
// no version of the broker may drop it for that.
func TestADeadLetterThatIsLookedAtStays(t *testing.T) {
	t.Parallel()
	address := pipetest.Rabbit(t)
	if err := rabbit.Declare(t.Context(), rabbit.Config{URL: address}); err != nil {
		t.Fatal(err)
	}
	ch := channel(t, address)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	sent, err := ch.PublishWithDeferredConfirm(rabbit.Exchange, rabbit.Dead, true, false, amqp.Publishing{Body: []byte("{}"), DeliveryMode: amqp.Persistent})
	if err != nil || !sent.Wait() {
		t.Fatal("not published", err)
	}
	const looks = 30 // above what a broker lets pass by itself
	for look := range looks {
		d, there, err := ch.Get(rabbit.Dead, false)
		if err != nil || !there {
			t.Fatalf("at look %d it is there: %t, %v", look, there, err)
		}
		if err := d.Reject(true); err != nil {
			t.Fatal(err)
		}
	}
}
