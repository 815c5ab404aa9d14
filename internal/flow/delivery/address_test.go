package delivery_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"freshet"
	"freshet/internal/flow/delivery"
)

func TestAddress(t *testing.T) {
	d := &delivery.Delivery{Topic: "prices"}
	if got := d.Address("a/{topic}/{type}/{topic}", delivery.Message{Event: freshet.Event{Type: freshet.TypeEvent}}); got != "a/prices/event/prices" {
		t.Error(got)
	}
	for pattern, right := range map[string]bool{"": true, "a.b": true, "{topic}{type}": true, "{id}": false, "{topic": false, "topic}": false} {
		if why := delivery.WrongPattern(pattern); (why == "") != right {
			t.Errorf("%s: %q", pattern, why)
		}
	}
}

func TestExplain(t *testing.T) {
	for want, err := range map[string]error{
		"no answer within PT15S":                  fmt.Errorf("wait: %w", context.DeadlineExceeded),
		"the broker's host is not known: nowhere": fmt.Errorf("dial: %w", &net.DNSError{Name: "nowhere", IsNotFound: true}),
		"the broker does not speak TLS at that address and port: is it meant to, or is it another port?": fmt.Errorf("dial: %w", tls.RecordHeaderError{Msg: "x"}),
		"no such queue":              freshet.Fault{Code: 70404, Message: "no such queue"},
		"send to the broker: broken": errors.New("broken"),
		"refused":                    delivery.Refusedf("refused"),
	} {
		if got := delivery.Explain(err, freshet.Duration(15*time.Second)); got.Error() != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}
