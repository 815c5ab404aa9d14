package delivery

import (
	"fmt"
	"strings"
	"time"

	"freshet"
	"freshet/internal/settings"
)

// An Encoded is a message as a broker gets it, which gets each by itself.
type Encoded struct {
	ID          string // of the message, the same in every attempt
	ContentType string
	Headers     []Attribute // what goes beside the body, but for the content type
	Body        []byte
}

// Encode is a message of the delivery in a format. prefix is what the names of a CloudEvent's attributes begin
// with where they are headers.
func (d *Delivery) Encode(m Message, format, prefix string) Encoded {
	e := Encoded{ID: string(d.Subscription) + "_" + m.MessageID(), ContentType: "application/json", Headers: d.Labels(m), Body: m.Data}
	switch format {
	case FormatStructured:
		e.ContentType, e.Body = "application/cloudevents+json", Structured(d.Topic, m)
	case FormatBinary:
		for _, a := range Attributes(d.Topic, m) {
			if a.Name != "datacontenttype" { // the content type is
				e.Headers = append(e.Headers, Attribute{prefix + a.Name, a.Value})
			}
		}
	}
	return e
}

// Labels say of a message what it is, as headers of webhooks and messages of brokers do.
func (d *Delivery) Labels(m Message) []Attribute {
	all := []Attribute{
		{"Freshet-Subscription-Id", string(d.Subscription)},
		{"Freshet-Topic", string(d.Topic)},
		{"Freshet-Event-Id", m.MessageID()},
		{"Freshet-Event-Type", string(m.Type)},
	}
	if m.Reset != "" {
		all = append(all, Attribute{"Freshet-Reset", m.Reset})
	}
	if d.Purpose == PurposeTest || d.Purpose == PurposeRedeliver { // which have no place in the order of events
		all = append(all, Attribute{"Freshet-Purpose", d.Purpose})
	}
	return all
}

// Sent writes down in the exchange what is sent, with the headers of the last message and the body of it.
// more are headers besides.
func (d *Delivery) Sent(to string, all []Encoded, more ...Attribute) {
	last := all[len(all)-1]
	var b strings.Builder
	for _, list := range [][]Attribute{more, {{"content-type", last.ContentType}}, last.Headers} {
		for _, a := range list {
			b.WriteString(a.Name + ": " + a.Value + "\r\n")
		}
	}
	d.Exchange.Request = Request{To: to, Headers: strings.TrimSuffix(b.String(), "\r\n"), Body: KeepRequest(last.Body)}
	for _, e := range all {
		d.Exchange.Request.Size += len(e.Body)
	}
}

// Confirmed writes down in the exchange what a broker said.
func (d *Delivery) Confirmed(text string) {
	d.Exchange.Response = &Response{Body: KeepResponse([]byte(text)), Size: len(text)}
}

// A Persistence is how long targets that are brokers take for an attempt, and when they make another.
type Persistence struct {
	Timeout freshet.Duration   `json:"timeout" default:"PT15S" range:"PT0.1S..PT1M" doc:"How long an attempt may take"`
	Retries []freshet.Duration `json:"retries" range:"0..1000" doc:"How long after each failed attempt the next is made, and up to a tenth more; after the last the subscription is disabled. By default PT1S, PT2S, PT5S, PT10S, PT30S, then each minute for an hour, then every five minutes for three days"`
}

// LongestRetry is how long the next attempt may be after one that failed.
const LongestRetry = freshet.Duration(7 * 24 * time.Hour)

// Check is what the tags cannot say.
func (p *Persistence) Check(v *settings.Verdict) {
	for i, d := range p.Retries {
		if d < 0 || d > LongestRetry {
			v.Say(fmt.Sprintf("/retries/%d", i), "must be from PT0S to P7D, not %v", d)
		}
	}
}

// Plan is part of Planned: one delivery at a time, in order.
func (p *Persistence) Plan() (schedule []freshet.Duration, parallel int) {
	schedule = []freshet.Duration{0}
	if p.Retries != nil {
		return append(schedule, p.Retries...), 1
	}
	for _, seconds := range []int{1, 2, 5, 10, 30} {
		schedule = append(schedule, freshet.Duration(seconds)*freshet.Duration(time.Second))
	}
	for range 60 {
		schedule = append(schedule, freshet.Duration(time.Minute))
	}
	for range 3 * 24 * 12 {
		schedule = append(schedule, freshet.Duration(5*time.Minute))
	}
	return schedule, 1
}
