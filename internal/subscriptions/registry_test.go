package subscriptions_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/internal/catalog"
	"freshet/internal/flow/delivery"
	"freshet/internal/flow/delivery/webhook"
	"freshet/internal/search"
	"freshet/internal/subscriptions"
)

// deliveries remembers what it was told.
type deliveries struct{ said []string }

func (d *deliveries) Put(s *freshet.Subscription) error {
	d.said = append(d.said, fmt.Sprintf("put %s %s", s.ID, s.Status))
	return nil
}

func (d *deliveries) Remove(id freshet.SubscriptionID) { d.said = append(d.said, "remove "+string(id)) }

func (d *deliveries) Progress(s *freshet.Subscription) *freshet.Progress {
	p := &freshet.Progress{Attempts: len(s.ID)}
	if s.Progress != nil {
		p.Reason = s.Progress.Reason
	}
	return p
}

func open(t *testing.T, records *catalog.Memory, d *deliveries, topics ...freshet.Topic) *subscriptions.Registry {
	t.Helper()
	r, err := subscriptions.Open(t.Context(), subscriptions.Config{
		Records: records, Kinds: delivery.Set{webhook.Kind()}, Deliveries: d, Log: slog.New(slog.DiscardHandler),
		Topic: func(name freshet.TopicName) (*freshet.Topic, error) {
			for _, topic := range topics {
				if topic.Name == name {
					return &topic, nil
				}
			}
			return nil, freshet.ErrNotFound
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func topics() []freshet.Topic {
	return []freshet.Topic{
		{Name: "doc", Kind: freshet.KindSnapshot},
		{Name: "log", Kind: freshet.KindEvent},
		{Name: "few", Kind: freshet.KindSnapshot, Subscribers: []freshet.Subscriber{{Type: "webhook", AllowedModes: []freshet.Mode{freshet.ModeSnapshotOnly}}}},
	}
}

const hook = `"type":"webhook","config":{"url":"https://a.example/"}`

func create(t *testing.T, r *subscriptions.Registry, topic freshet.TopicName, document string) freshet.Subscription {
	t.Helper()
	s, _, err := r.Create(t.Context(), topic, []byte(document), false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLife(t *testing.T) {
	t.Parallel()
	records, d := &catalog.Memory{}, &deliveries{}
	r := open(t, records, d, topics()...)
	made := create(t, r, "doc", `{`+hook+`}`)
	if made.ID == "" || made.Mode != freshet.ModeSnapshotPatch || made.Status != "active" || made.Start != "now" || made.Behind != "latest" || made.Format != "raw" || !strings.Contains(string(made.Config), "whsec_") {
		t.Errorf("made %+v", made)
	}
	shown, version, err := r.Get(made.ID)
	if err != nil || strings.Contains(string(shown.Config), "whsec_") || shown.Progress.Attempts == 0 {
		t.Errorf("shown %+v, %v", shown, err)
	}
	create(t, r, "few", `{"id":"b",`+hook+`,"batch":{}}`)
	if b, _, _ := r.Get("b"); b.Mode != freshet.ModeSnapshotOnly || b.Batch.MaxEvents != 100 || b.Batch.MaxBytes != 1<<20 {
		t.Errorf("the defaults of b are %+v, %+v", b, b.Batch)
	}
	if _, _, err := r.Create(t.Context(), "doc", []byte(`{"id":"b",`+hook+`}`), false); !errors.Is(err, freshet.ErrExists) {
		t.Errorf("the same id again: %v", err)
	}
	if _, _, err := r.Create(t.Context(), "none", []byte(`{`+hook+`}`), false); !errors.Is(err, freshet.ErrNotFound) {
		t.Errorf("no such topic: %v", err)
	}
	if dry, v, err := r.Create(t.Context(), "doc", []byte(`{"id":"dry",`+hook+`}`), true); err != nil || dry.ID != "dry" || v != "" {
		t.Errorf("dry: %+v %v", dry, err)
	}
	// What is masked stays, and nothing else of what was stored changes.
	patched, next, err := r.Patch(t.Context(), made.ID, []byte(`{"description":"x","config":{"parallel":4}}`), []string{version}, false)
	whole, _ := r.Whole(made.ID)
	if err != nil || next == version || patched.Description != "x" || !strings.Contains(string(whole.Config), "whsec_") || !strings.Contains(string(whole.Config), `"parallel":4`) {
		t.Errorf("patched %+v, %s, %v", patched, whole.Config, err)
	}
	if _, _, err := r.Patch(t.Context(), made.ID, []byte(`{}`), []string{version}, false); !errors.Is(err, subscriptions.ErrPrecondition) {
		t.Errorf("an old version: %v", err)
	}
	// What changes nothing disturbs nobody.
	if s, v, err := r.Patch(t.Context(), made.ID, []byte(`{"status":"active","config":{"parallel":4}}`), nil, false); err != nil || v != next || s.ModifyTimestamp != patched.ModifyTimestamp {
		t.Errorf("patched with what it is: %+v, %s, %v", s, v, err)
	}
	// Another address takes no secret along.
	if _, _, err := r.Patch(t.Context(), made.ID, []byte(`{"config":{"url":"https://b.example/"}}`), nil, false); err == nil || !strings.Contains(err.Error(), "/config/secrets/0") {
		t.Errorf("another address: %v", err)
	}
	if err := r.Halt(t.Context(), made.ID, freshet.SubscriptionDisabled, "it broke"); err != nil {
		t.Fatal(err)
	}
	again := open(t, records, &deliveries{}, topics()...)
	if s, _, err := again.Get(made.ID); err != nil || s.Status != "disabled" || s.Progress.Reason != "it broke" {
		t.Errorf("after a restart %+v, %v", s, err)
	}
	if s, _, err := r.Patch(t.Context(), made.ID, []byte(`{"status":"active"}`), nil, false); err != nil || s.Progress.Reason != "" {
		t.Errorf("active again: %+v, %v", s, err)
	}
	if err := r.RemoveTopic(t.Context(), "few"); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(t.Context(), made.ID, []string{"x"}, false); !errors.Is(err, subscriptions.ErrPrecondition) {
		t.Errorf("delete another version: %v", err)
	}
	if err := r.Delete(t.Context(), made.ID, nil, false); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Get(made.ID); !errors.Is(err, subscriptions.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	id := string(made.ID)
	if want := []string{"put " + id + " active", "put b active", "put " + id + " active", "put " + id + " disabled", "put " + id + " active", "remove b", "remove " + id}; !slices.Equal(d.said, want) {
		t.Errorf("deliveries were told %q, want %q", d.said, want)
	}
	// A topic that went while nobody was there takes its subscriptions along.
	create(t, r, "log", `{"id":"orphan",`+hook+`}`)
	if left := open(t, records, &deliveries{}, topics()[0]); len(first(left.List("", search.Query{PageSize: 10}))) != 0 {
		t.Error("an orphan is still there")
	}
}

// A secret that a patch takes away is replaced by a new one, which the answer shows this once; an empty list turns
// signing off. What would be made is not shown where nothing is stored.
func TestSecretsAreMade(t *testing.T) {
	t.Parallel()
	r := open(t, &catalog.Memory{}, &deliveries{}, topics()...)
	before := string(create(t, r, "doc", `{"id":"a",`+hook+`}`).Config)
	patch := func(document string, dry bool) string {
		t.Helper()
		s, _, err := r.Patch(t.Context(), "a", []byte(document), nil, dry)
		if err != nil {
			t.Fatal(err)
		}
		return string(s.Config)
	}
	whole := func() string {
		s, err := r.Whole("a")
		if err != nil {
			t.Fatal(err)
		}
		return string(s.Config)
	}
	if dry := patch(`{"config":{"secrets":null}}`, true); strings.Contains(dry, "whsec_") || whole() != before {
		t.Errorf("a dry run shows %s, stored is %s", dry, whole())
	}
	shown := patch(`{"config":{"secrets":null}}`, false)
	if !strings.Contains(shown, "whsec_") || shown == before || shown != whole() {
		t.Errorf("taken away, it shows %s, stored is %s, before it was %s", shown, whole(), before)
	}
	if again, _, err := r.Get("a"); err != nil || strings.Contains(string(again.Config), "whsec_") {
		t.Errorf("it is shown again: %s, %v", again.Config, err)
	}
	if off := patch(`{"config":{"secrets":[]}}`, false); !strings.Contains(off, `"secrets":[]`) || strings.Contains(whole(), "whsec_") {
		t.Errorf("an empty list: %s", off)
	}
	if off := patch(`{"description":"x"}`, false); strings.Contains(off+whole(), "whsec_") {
		t.Errorf("signing came back by itself: %s", off)
	}
	if dry, _, err := r.Create(t.Context(), "doc", []byte(`{`+hook+`}`), true); err != nil || strings.Contains(string(dry.Config), "whsec_") {
		t.Errorf("a dry run shows a secret that there will never be: %s, %v", dry.Config, err)
	}
}

func first[T, U any](v T, _ U) T { return v }

func TestMistakes(t *testing.T) {
	t.Parallel()
	r := open(t, &catalog.Memory{}, &deliveries{}, topics()...)
	for _, tt := range []struct {
		topic          freshet.TopicName
		document, want string
	}{
		{"doc", `{}`, "/type: required"},
		{"doc", `{"type":"webhok"}`, `/type: must be sse, websocket, webhook, kafka, mqtt, nats, amqp, not "webhok": did you mean "webhook"?`},
		{"doc", `{"type":"webhook"}`, "/config/url: is required"},
		{"doc", `{"id":"a b",` + hook + `}`, "/id: only letters"},
		{"doc", `{"topic":"log",` + hook + `}`, `/topic: must be "doc"`},
		{"doc", `{"mode":"event",` + hook + `}`, "/mode: must be snapshot-patch"},
		{"few", `{"mode":"snapshot-patch",` + hook + `}`, "/mode: must be snapshot-only"},
		{"few", `{"type":"sse"}`, "/type: topic few does not allow"},
		{"doc", `{"status":"off",` + hook + `}`, "/status: must be"},
		{"doc", `{"start":"yesterday",` + hook + `}`, "/start: must be now, beginning"},
		{"doc", `{"start":"` + time.Now().Add(2*time.Minute).Format(time.RFC3339) + `",` + hook + `}`, "/start: must not be in the future"},
		{"doc", `{"minInterval":"PT2H",` + hook + `}`, "/minInterval: must be from"},
		{"doc", `{"behind":"some",` + hook + `}`, "/behind: must be latest, all"},
		{"log", `{"behind":"all",` + hook + `}`, "/behind: is of no use"},
		{"doc", `{"type":"sse","behind":"all"}`, "/behind: all is for"},
		{"doc", `{"batch":{"maxEvents":1001},` + hook + `}`, "/batch/maxEvents: must be from 1 to 1000"},
		{"doc", `{"batch":{"maxBytes":"1B"},` + hook + `}`, "/batch/maxBytes: must be from 1KiB"},
		{"doc", `{"batch":{"maxWait":"PT2M"},` + hook + `}`, "/batch/maxWait: must be from"},
		{"doc", `{"type":"sse","batch":{}}`, "/batch: is for"},
		{"doc", `{"type":"sse","format":"raw"}`, "/format: is for"},
		{"doc", `{"type":"sse","minInterval":"PT1S"}`, "/minInterval: is for"},
		{"doc", `{"type":"sse","config":{"url":"x"}}`, "/config: there is nothing"},
		{"doc", `{"format":"xml",` + hook + `}`, "/format: must be raw"},
		{"doc", `{"type":"webhook","config":{"url":"https://a.example/","secrets":["env:HOME"]}}`, "/config/secrets/0: the environment variable"},
		{"doc", `{"typ":"sse"}`, "/typ: unknown member"},
	} {
		_, _, err := r.Create(t.Context(), tt.topic, []byte(tt.document), false)
		if bad, ok := errors.AsType[freshet.Invalid](err); !ok || !slices.ContainsFunc(bad, func(f freshet.FieldError) bool { return strings.HasPrefix(f.Pointer+": "+f.Detail, tt.want) }) {
			t.Errorf("%s: %v, want %s", tt.document, err, tt.want)
		}
	}
	create(t, r, "doc", `{"start":"`+time.Now().Add(30*time.Second).Format(time.RFC3339)+`",`+hook+`}`) // by a clock that is fast
	create(t, r, "doc", `{"id":"a",`+hook+`}`)
	for patch, want := range map[string]string{
		`{"id":"b"}`: "/id: must stay", `{"topic":"log"}`: "/topic: must stay", `{"type":"sse"}`: "/type: must stay", `{"start":"beginning"}`: "/start: must stay",
		`{"status":"disabled"}`: "/status: disabled is what the server says", `{"config":null}`: "/config/url: is required", `[]`: "must be an object",
	} {
		if _, _, err := r.Patch(t.Context(), "a", []byte(patch), nil, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", patch, err, want)
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	r := open(t, &catalog.Memory{}, &deliveries{}, topics()...)
	for i := range 5 {
		create(t, r, "doc", fmt.Sprintf(`{"id":"h%d",%s}`, i, hook))
		create(t, r, "log", fmt.Sprintf(`{"id":"stream%d","type":"sse"}`, i))
	}
	order := func(s string) search.Order {
		o, err := subscriptions.ParseOrder(s)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	for _, tt := range []struct {
		search string
		topic  freshet.TopicName
		q      search.Query
		want   string
		total  int
	}{
		{"", "", search.Query{PageSize: 3}, "h0 h1 h2", 10},
		{"", "", search.Query{PageSize: 4, Page: 3}, "stream3 stream4", 10},
		{"", "", search.Query{PageSize: 4, Page: 1 << 60}, "", 10},
		{"", "log", search.Query{PageSize: 2}, "stream0 stream1", 5},
		{"", "", search.Query{PageSize: 2, Sort: []search.Order{order("type"), order("id,DESC")}}, "stream4 stream3", 10},
		{"type:webhook AND id!h0", "", search.Query{PageSize: 2}, "h1 h2", 4},
		{"progress.attempts:7", "", search.Query{PageSize: 1}, "stream0", 5},
	} {
		if tt.search != "" {
			var err error
			if tt.q.Search, err = subscriptions.ParseSearch(tt.search); err != nil {
				t.Fatal(err)
			}
		}
		page, total := r.List(tt.topic, tt.q)
		var ids []string
		for _, s := range page {
			ids = append(ids, string(s.ID))
		}
		if got := strings.Join(ids, " "); got != tt.want || total != tt.total {
			t.Errorf("%q %+v: %s of %d, want %s of %d", tt.search, tt.q, got, total, tt.want, tt.total)
		}
	}
	if _, err := subscriptions.ParseOrder("staus"); err == nil || !strings.Contains(err.Error(), `did you mean "status"?`) {
		t.Error(err)
	}
	if _, err := subscriptions.ParseSearch("config.url:x"); err == nil {
		t.Error("what may hold secrets can be searched")
	}
}
