package kafka_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/client"
	"freshet/internal/app"
	"freshet/internal/flow/delivery"
	"freshet/internal/freshettest"
	"freshet/internal/freshettest/brokers"
	"freshet/internal/freshettest/gateway"
)

// Of a whole Freshet: what a snapshot topic sends, what can be asked for besides, that it goes on after a restart, and
// that it does not show its secrets.
func TestSubscription(t *testing.T) {
	t.Parallel()
	c, _ := fake(t, 1)
	data, long := t.TempDir(), strings.Repeat("x", 200) // so that patches are smaller
	g := gateway.Start(t, app.Config{Data: data})
	g.Topic("doc", freshet.KindSnapshot)
	g.Post("doc", map[string]any{"n": 1, "long": long})
	g.Subscribe("doc", "s", "kafka", c.config(`,"keyPointer":"/n"`), `"behind":"all"`)
	done := func(p *freshet.Progress) bool { return p.Lag == 0 && p.EventID != "" }
	g.Await("s", 20*time.Second, "the document is delivered", done)
	g.Post("doc", map[string]any{"n": 2, "long": long})
	g.Await("s", 20*time.Second, "a patch is delivered", done)

	e, err := g.TestSubscription(t.Context(), "s", []byte(`{"n":"test"}`))
	if err != nil || e.Outcome != delivery.OutcomeDelivered || e.Response.Body != "partition 0 offset 2" || e.Request.Body != `{"n":"test"}` {
		t.Errorf("%v %+v", err, e)
	}
	g.Stop()
	g = gateway.Start(t, app.Config{Data: data})
	g.Post("doc", map[string]any{"n": 3, "long": long})
	at := g.Await("s", 20*time.Second, "it goes on", done).EventID
	if e, err = g.Redeliver(t.Context(), "s", at); err != nil || e.Response.Body != "partition 0 offset 4" {
		t.Errorf("%v %+v", err, e)
	}
	const patch = `[{"op":"replace","path":"/n","value":%d}]`
	want := []string{`1 snapshot {"long":"` + long + `","n":1}`, "doc patch " + fmt.Sprintf(patch, 2), `test test {"n":"test"}`, "doc patch " + fmt.Sprintf(patch, 3), "doc patch " + fmt.Sprintf(patch, 3)}
	for i, r := range c.read("prices", 1, len(want)) {
		if got := fmt.Sprintf("%s %s %s", r.Key, headers(r)["Freshet-Event-Type"], r.Value); got != want[i] {
			t.Errorf("record %d: %s, want %s", i, got, want[i])
		}
	}

	doc := `{"type":"kafka","config":` + c.config(`,"sasl":{"mechanism":"PLAIN","username":"u","password":"s3cret"}`) + `}`
	made, err := g.CreateSubscription(t.Context(), "doc", []byte(doc), client.WriteOptions{})
	if err != nil || strings.Contains(string(made.Config), "s3cret") || !strings.Contains(string(made.Config), `"u"`) {
		t.Errorf("%v %s", err, made.Config)
	}
	if _, err := g.CreateSubscription(t.Context(), "doc", []byte(strings.Replace(doc, "PLAIN", "PLANE", 1)), client.WriteOptions{}); err == nil || !strings.Contains(err.Error(), "/config/sasl/mechanism") {
		t.Errorf("a mistake is answered with %v", err)
	}
}

const reader = `
const {Kafka} = require("cloudevents");
const records = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(records.map(r => {
  const e = Kafka.toEvent(r);
  return [Kafka.isEvent(r), e.validate(), e.id, e.source, e.type, e.subject, e.time, e.revision, e.datacontenttype, e.data];
})));`

// The SDK of CloudEvents for JavaScript reads the records, in either format.
func TestCloudEventsOfOthers(t *testing.T) {
	t.Parallel()
	node, modules := freshettest.NodeModules(t, "cloudevents@10.0.0")
	type record struct {
		Key     string            `json:"key"`
		Headers map[string]string `json:"headers"`
		Value   string            `json:"value"`
	}
	var records []record
	var want [][]any
	for i, format := range []string{delivery.FormatBinary, delivery.FormatStructured} {
		c, _ := fake(t, 1)
		d := brokers.Delivery(i, 1)
		if err := c.targetIn("", format, brokers.Env(t)).Deliver(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		r := c.read("prices", 1, 1)[0]
		records = append(records, record{string(r.Key), headers(r), string(r.Value)})
		m := d.Messages[0]
		want = append(want, []any{true, true, m.ID(), "/live/topic", "dev.freshet.event", "topic", m.Time.Truncate(time.Millisecond).Format("2006-01-02T15:04:05.000Z"), fmt.Sprint(m.Revision), "application/json", map[string]any{"n": i}})
	}
	input, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "-e", reader)
	cmd.Env, cmd.Stdin = append(os.Environ(), "NODE_PATH="+modules), bytes.NewReader(input)
	got, err := cmd.CombinedOutput()
	expected, _ := json.Marshal(want)
	if err != nil || strings.TrimSpace(string(got)) != string(expected) {
		t.Errorf("%v: %s, want %s, of %s", err, got, expected, input)
	}
}
