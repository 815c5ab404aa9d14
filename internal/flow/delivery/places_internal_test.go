package delivery

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"freshet"
)

// What is written by hand is JSON, and is read as it was.
func TestEncodePlaces(t *testing.T) {
	now := time.UnixMilli(1795635537123).UTC()
	all := map[freshet.SubscriptionID]place{
		"a":     {},
		"b.c-_": {At: "7-2dc-72ab84a8", Time: now, Delivered: now.Add(time.Second)},
		"d":     {At: "1-sg-0", Attempts: 3, Next: now.Add(time.Minute), Error: &freshet.DeliverError{Time: now, Code: 500, Message: "\"it\"\nbroke"}},
	}
	text, err := encodePlaces(all)
	if err != nil || !json.Valid(text) {
		t.Fatalf("%s, %v", text, err)
	}
	if got, err := decodePlaces(text); err != nil || !reflect.DeepEqual(got, all) {
		t.Errorf("%s is read as\n%+v, %v, want\n%+v", text, got, err, all)
	}
	if empty, err := encodePlaces(nil); err != nil || string(empty) != "{}" {
		t.Errorf("none are %s, %v", empty, err)
	}
}
