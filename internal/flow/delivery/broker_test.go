package delivery_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/internal/flow/delivery"
	"freshet/internal/settings"
)

// Each message is encoded by itself, with an id of its own, in the format that the subscription wants; the exchange
// tells of the last, and the size of all.
func TestEncode(t *testing.T) {
	d := &delivery.Delivery{ID: "sub_9-9-z", Subscription: "sub", Topic: "prices"}
	m := delivery.Message{Event: freshet.Event{Position: freshet.Position{Revision: 2, Sequence: 2, Tag: "ab"}, Type: freshet.TypeEvent, Time: time.Unix(5, 0), Data: []byte(`{"n":1}`)}, Reset: "epoch"}
	for format, want := range map[string]string{
		delivery.FormatRaw:        `sub_2-2-ab application/json [{Freshet-Subscription-Id sub} {Freshet-Topic prices} {Freshet-Event-Id 2-2-ab} {Freshet-Event-Type event} {Freshet-Reset epoch}] {"n":1}`,
		delivery.FormatBinary:     `sub_2-2-ab application/json [{Freshet-Subscription-Id sub} {Freshet-Topic prices} {Freshet-Event-Id 2-2-ab} {Freshet-Event-Type event} {Freshet-Reset epoch} {ce_specversion 1.0} {ce_id 2-2-ab} {ce_source /live/prices} {ce_type dev.freshet.event} {ce_subject prices} {ce_time 1970-01-01T00:00:05Z} {ce_revision 2} {ce_reset epoch}] {"n":1}`,
		delivery.FormatStructured: `sub_2-2-ab application/cloudevents+json [{Freshet-Subscription-Id sub} {Freshet-Topic prices} {Freshet-Event-Id 2-2-ab} {Freshet-Event-Type event} {Freshet-Reset epoch}] {"specversion":"1.0","id":"2-2-ab","source":"/live/prices","type":"dev.freshet.event","datacontenttype":"application/json","subject":"prices","time":"1970-01-01T00:00:05Z","revision":"2","reset":"epoch","data":{"n":1}}`,
	} {
		e := d.Encode(m, format, "ce_")
		if got := fmt.Sprintf("%s %s %v %s", e.ID, e.ContentType, e.Headers, e.Body); got != want {
			t.Errorf("%s: %s, want %s", format, got, want)
		}
	}
	d.Sent("somewhere", []delivery.Encoded{{Body: make([]byte, 5000)}, d.Encode(m, delivery.FormatRaw, "")}, delivery.Attribute{Name: "key", Value: "k"})
	if r := d.Exchange.Request; r.To != "somewhere" || !strings.HasPrefix(r.Headers, "key: k\r\ncontent-type: application/json\r\nFreshet-Subscription-Id: sub\r\n") || !strings.HasSuffix(r.Headers, "\r\nFreshet-Reset: epoch") || r.Body != `{"n":1}` || r.Size != 5007 {
		t.Errorf("%+v", r)
	}
	d.Purpose = delivery.PurposeRedeliver
	if e := d.Encode(m, delivery.FormatRaw, ""); e.Headers[len(e.Headers)-1] != (delivery.Attribute{Name: "Freshet-Purpose", Value: "redelivery"}) {
		t.Errorf("a redelivery: %v", e.Headers)
	}
	d.Confirmed(strings.Repeat("x", 5000))
	if r := d.Exchange.Response; len(r.Body) != 4096 || r.Size != 5000 {
		t.Errorf("%d %d", len(r.Body), r.Size)
	}
}

// A broker that is away for some seconds is found soon after, and one that is away for days is not given up.
func TestPersistence(t *testing.T) {
	schedule, parallel := (&delivery.Persistence{}).Plan()
	var all time.Duration
	for i, d := range schedule {
		if all += time.Duration(d); all < time.Minute && time.Duration(d) > 30*time.Second {
			t.Errorf("attempt %d is %v after the one before", i+1, d)
		}
	}
	if all < 72*time.Hour || all > 96*time.Hour || parallel != 1 || schedule[0] != 0 {
		t.Errorf("%v in all, %d at a time", all, parallel)
	}
	var own struct{ delivery.Persistence }
	if wrong := settings.Read([]byte(`{"retries":["PT2S"],"timeout":"PT3S"}`), &own); wrong != nil {
		t.Fatal(wrong)
	}
	if schedule, _ := own.Plan(); fmt.Sprint(schedule) != "[PT0S PT2S]" || own.Timeout != freshet.Duration(3*time.Second) {
		t.Errorf("%v, %v", schedule, own.Timeout)
	}
	for config, want := range map[string]string{`{"retries":["P8D"]}`: "/retries/0", `{"timeout":"PT2M"}`: "/timeout"} {
		var bad struct{ delivery.Persistence }
		if wrong := settings.Read([]byte(config), &bad); len(wrong) != 1 || wrong[0].Pointer != want {
			t.Errorf("%s: %v", config, wrong)
		}
	}
}
