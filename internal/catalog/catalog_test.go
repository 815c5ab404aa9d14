package catalog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"freshet"
	"freshet/internal/catalog"
)

// sources are two types of source: one that wants a url, one that takes anything and feeds events only.
func sources() catalog.Sources {
	return catalog.Sources{
		"http-poller": {Check: func(config json.RawMessage) freshet.Invalid {
			var c struct{ URL string }
			if json.Unmarshal(config, &c) != nil || c.URL == "" {
				return freshet.Invalid{{Pointer: "/url", Detail: "required"}}
			}
			return nil
		}},
		"anything": {Check: func(json.RawMessage) freshet.Invalid { return nil }},
		"events":   {Kinds: []freshet.Kind{freshet.KindEvent}, Check: func(json.RawMessage) freshet.Invalid { return nil }},
	}
}

func open(t *testing.T, records catalog.Records) *catalog.Catalog {
	t.Helper()
	c, err := catalog.New(t.Context(), records, sources())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const prices = `{"name":"prices","kind":"snapshot","source":{"type":"http-poller","config":{"url":"https://example.com/?a=1&b=2","n":1.0}}}`

func create(t *testing.T, c *catalog.Catalog, document string) catalog.Entry {
	t.Helper()
	e, err := c.Create(t.Context(), []byte(document), catalog.Write{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := &catalog.Memory{}
		c := open(t, records)
		var seen []string
		c.Watch(func(ch catalog.Change) {
			switch {
			case ch.Old == nil:
				seen = append(seen, "new "+string(ch.New.Name))
			case ch.New == nil:
				seen = append(seen, "gone "+string(ch.Old.Name))
			default:
				seen = append(seen, fmt.Sprintf("%q → %q", ch.Old.Description, ch.New.Description))
			}
		})

		made := create(t, c, prices)
		if made.Topic.ManagedBy != "api" || !made.Topic.CreateTimestamp.Equal(time.Now()) || made.Version == "" {
			t.Errorf("created %+v", made)
		}
		if made.Topic.History.MaxEvents != freshet.DefaultMaxEvents || made.Topic.Subscribers[0].DefaultMode != freshet.ModeSnapshotPatch {
			t.Errorf("defaults are not filled in: %+v", made.Topic)
		}
		if _, err := c.Create(t.Context(), []byte(prices), catalog.Write{}); !errors.Is(err, freshet.ErrExists) {
			t.Errorf("a second creation: %v", err)
		}

		time.Sleep(time.Minute)
		patched, err := c.Patch(t.Context(), "prices", []byte(`{"description":"d","history":{"maxEvents":7}}`), catalog.Write{Match: []string{made.Version}})
		if err != nil || patched.Topic.Description != "d" || patched.Topic.History.MaxEvents != 7 || patched.Version == made.Version {
			t.Errorf("patched %+v, %v", patched, err)
		}
		if !patched.Topic.CreateTimestamp.Equal(made.Topic.CreateTimestamp) || !patched.Topic.ModifyTimestamp.Equal(time.Now()) {
			t.Errorf("timestamps %s, %s", patched.Topic.CreateTimestamp, patched.Topic.ModifyTimestamp)
		}
		if got := string(patched.Topic.Source.Config); !strings.Contains(got, `"url":"https://example.com/?a=1&b=2"`) || !strings.Contains(got, `"n":1.0`) {
			t.Errorf("the configuration lost its spelling: %s", got)
		}
		if _, err := c.Patch(t.Context(), "prices", []byte(`{}`), catalog.Write{Match: []string{made.Version}}); !errors.Is(err, catalog.ErrPrecondition) || !errors.Is(err, freshet.ErrConflict) {
			t.Errorf("an old version: %v", err)
		}
		back, err := c.Patch(t.Context(), "prices", []byte(`{"description":null,"history":null}`), catalog.Write{Match: []string{"*"}})
		if err != nil || back.Topic.History.MaxEvents != freshet.DefaultMaxEvents {
			t.Errorf("null does not bring the default back: %+v, %v", back.Topic, err)
		}

		if got, err := open(t, records).Get("prices"); err != nil || !reflect.DeepEqual(got, back) {
			t.Errorf("read again:\n got %+v, %v\nwant %+v", got, err, back)
		}
		if err := c.Delete(t.Context(), "prices", catalog.Write{}); err != nil {
			t.Error(err)
		}
		if _, err := c.Get("prices"); !errors.Is(err, freshet.ErrNotFound) {
			t.Errorf("after its deletion: %v", err)
		}
		if want := []string{"new prices", `"" → "d"`, `"d" → ""`, "gone prices"}; !reflect.DeepEqual(seen, want) {
			t.Errorf("watched %q; want %q", seen, want)
		}
	})
}

func TestPut(t *testing.T) {
	c := open(t, &catalog.Memory{})
	nameless := strings.Replace(prices, `"name":"prices",`, "", 1)
	e, created, err := c.Put(t.Context(), "prices", []byte(nameless), catalog.Write{Absent: true})
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	again, created, err := c.Put(t.Context(), "prices", []byte(prices), catalog.Write{})
	if err != nil || created || again.Version != e.Version {
		t.Errorf("the same again must change nothing: %v, %v, %q after %q", created, err, again.Version, e.Version)
	}
	shown, _ := json.Marshal(e.Topic)
	if _, _, err := c.Put(t.Context(), "prices", shown, catalog.Write{Match: []string{e.Version}}); err != nil {
		t.Errorf("what a GET shows cannot be put back: %v", err)
	}
	for _, tt := range []struct {
		name, document, want string
		w                    catalog.Write
	}{
		{"renamed", strings.Replace(prices, "prices", "other", 1), `/name: must be "prices"`, catalog.Write{}},
		{"another kind", strings.Replace(prices, "snapshot", "event", 1), `/kind: must stay "snapshot"`, catalog.Write{}},
		{"exists", prices, `topic "prices" exists already`, catalog.Write{Absent: true}},
		{"not an object", `[]`, `must be an object`, catalog.Write{}},
	} {
		if _, _, err := c.Put(t.Context(), "prices", []byte(tt.document), tt.w); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %s", tt.name, err, tt.want)
		}
	}
	if _, _, err := c.Put(t.Context(), "new", []byte(nameless), catalog.Write{Match: []string{"*"}}); !errors.Is(err, catalog.ErrPrecondition) {
		t.Errorf("If-Match of a topic that is not there: %v", err)
	}
}

func TestDryRun(t *testing.T) {
	c := open(t, &catalog.Memory{})
	dry := catalog.Write{DryRun: true}
	if e, err := c.Create(t.Context(), []byte(prices), dry); err != nil || e.Topic.Name != "prices" || e.Version != "" {
		t.Errorf("got %+v, %v", e, err)
	}
	if c.Len() != 0 {
		t.Error("a dry run created a topic")
	}
	made := create(t, c, prices)
	if e, err := c.Patch(t.Context(), "prices", []byte(`{"description":"x"}`), dry); err != nil || e.Topic.Description != "x" || e.Version != made.Version {
		t.Errorf("got %+v, %v", e, err)
	}
	if err := c.Delete(t.Context(), "prices", dry); err != nil {
		t.Error(err)
	}
	if got, err := c.Get("prices"); err != nil || !reflect.DeepEqual(got, made) {
		t.Errorf("dry runs left %+v, %v", got, err)
	}
}

// The examples of RFC 7396 appendix A, as far as the target is something that can be stored.
func TestMergePatch(t *testing.T) {
	for _, tt := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{`{"n":1.0,"kept":12345678901234567890}`, `{"n":1.50}`, `{"kept":12345678901234567890,"n":1.50}`},
	} {
		c := open(t, &catalog.Memory{})
		create(t, c, `{"name":"x","kind":"snapshot","source":{"type":"anything","config":`+tt.target+`}}`)
		e, err := c.Patch(t.Context(), "x", []byte(`{"source":{"config":`+tt.patch+`}}`), catalog.Write{})
		if err != nil || string(e.Topic.Source.Config) != tt.want {
			t.Errorf("%s merged into %s = %s, %v; want %s", tt.patch, tt.target, e.Topic.Source.Config, err, tt.want)
		}
	}
}

func TestPatchMistakes(t *testing.T) {
	c := open(t, &catalog.Memory{})
	create(t, c, prices)
	for patch, want := range map[string]string{
		`{"kind":"event"}`:                      `/kind: must stay "snapshot"`,
		`{"kind":null}`:                         `/kind: required`,
		`{"name":"other"}`:                      `/name: must be "prices"`,
		`{"source":{"config":null}}`:            `/source/config/url: required`,
		`{"histroy":{}}`:                        `did you mean "history"?`,
		`{"description":"a","description":"b"}`: `duplicate member`,
		`[]`:                                    `must be an object`,
		`{`:                                     `unexpected end`,
	} {
		if _, err := c.Patch(t.Context(), "prices", []byte(patch), catalog.Write{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", patch, err, want)
		}
	}
}

func TestSync(t *testing.T) {
	records := &catalog.Memory{}
	c := open(t, records)
	create(t, c, prices)
	create(t, c, strings.Replace(prices, "prices", "taken-over", 1))
	topic := func(name, description string) freshet.Topic {
		return freshet.Topic{Name: freshet.TopicName(name), Kind: freshet.KindSnapshot, Description: description, Source: freshet.Source{Type: "anything"}}
	}
	var seen []string
	say := func(ch catalog.Change) string {
		switch {
		case ch.New == nil:
			return "gone " + string(ch.Old.Name)
		case ch.Old == nil:
			return "new " + string(ch.New.Name)
		case ch.Old.Kind != ch.New.Kind:
			return "anew " + string(ch.New.Name)
		}
		return "changed " + string(ch.New.Name)
	}
	sync := func(topics ...freshet.Topic) (made, watched string) {
		t.Helper()
		seen = nil
		changes, err := c.Sync(t.Context(), topics, func(_ context.Context, name freshet.TopicName) error {
			if _, err := c.Get(name); err != nil {
				t.Errorf("the history of %s is cleared when the topic is gone already", name)
			}
			seen = append(seen, "clear "+string(name))
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		var all []string
		for _, ch := range changes {
			all = append(all, say(ch))
		}
		return strings.Join(all, ", "), strings.Join(seen, ", ")
	}
	if made, cleared := sync(topic("a", "1"), topic("b", "1"), topic("taken-over", "")); made != "new a, new b, changed taken-over" || cleared != "" {
		t.Errorf("at first: %q, cleared %q", made, cleared)
	}
	b, _ := c.Get("b")

	// The process starts again with another file.
	c = open(t, records)
	c.Watch(func(ch catalog.Change) {
		if ch.Old != nil {
			seen = append(seen, say(ch))
		}
	})
	if made, watched := sync(topic("b", "1"), topic("taken-over", "2")); made != "gone a, changed taken-over" || watched != "clear a, gone a, changed taken-over" {
		t.Errorf("another file: %q, watched %q", made, watched)
	}
	if same, _ := c.Get("b"); same.Version != b.Version {
		t.Error("an unchanged topic was written again")
	}
	if e, err := c.Get("prices"); err != nil || e.Topic.ManagedBy != "api" {
		t.Errorf("the API's topic: %+v, %v", e.Topic, err)
	}

	for what, err := range map[string]error{
		"put": second(c.Put(t.Context(), "b", []byte(prices), catalog.Write{})), "delete": c.Delete(t.Context(), "b", catalog.Write{}),
		"patch": first(c.Patch(t.Context(), "b", []byte(`{}`), catalog.Write{})),
	} {
		if !errors.Is(err, freshet.ErrManaged) {
			t.Errorf("%s of a topic of the file: %v", what, err)
		}
	}
	events, adopted := topic("b", "1"), topic("prices", "")
	events.Kind, adopted.Kind = freshet.KindEvent, freshet.KindEvent
	if made, watched := sync(events, topic("taken-over", "2"), adopted); made != "anew b, anew prices" || watched != "clear b, gone b, clear prices, gone prices" {
		t.Errorf("another kind: %q, watched %q", made, watched)
	}
	if e, err := c.Get("prices"); err != nil || e.Topic.ManagedBy != "file" || e.Topic.Kind != freshet.KindEvent {
		t.Errorf("a topic of the API that the file makes anew: %+v, %v", e.Topic, err)
	}
	if made, _ := sync(); made != "gone b, gone prices, gone taken-over" || c.Len() != 0 {
		t.Errorf("no file: %q, and %d topics", made, c.Len())
	}
}

// A topic whose history could not be cleared stays, so that the next start clears it.
func TestSyncIsFinishedLater(t *testing.T) {
	c := open(t, &catalog.Memory{})
	file := freshet.Topic{Name: "a", Kind: freshet.KindSnapshot, Source: freshet.Source{Type: "anything"}}
	cleared := 0
	clearing := func(err error) func(context.Context, freshet.TopicName) error {
		return func(context.Context, freshet.TopicName) error { cleared++; return err }
	}
	if _, err := c.Sync(t.Context(), []freshet.Topic{file}, clearing(nil)); err != nil {
		t.Fatal(err)
	}
	if made, err := c.Sync(t.Context(), nil, clearing(freshet.ErrUnavailable)); !errors.Is(err, freshet.ErrUnavailable) || len(made) != 0 || c.Len() != 1 {
		t.Errorf("%v, %v, %d topics", made, err, c.Len())
	}
	if made, err := c.Sync(t.Context(), nil, clearing(nil)); err != nil || len(made) != 1 || c.Len() != 0 || cleared != 2 {
		t.Errorf("%v, %v, %d topics, cleared %d times", made, err, c.Len(), cleared)
	}
}

func first(_ catalog.Entry, err error) error          { return err }
func second(_ catalog.Entry, _ bool, err error) error { return err }

// faulty fails after it has, or has not, done its work.
type faulty struct {
	catalog.Memory
	before, after error
}

func (f *faulty) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if f.before != nil {
		return 0, f.before
	}
	n, err := f.Memory.Put(ctx, key, value, revision)
	if f.after != nil {
		return 0, f.after
	}
	return n, err
}

// An error of the store means "unknown": the view must show what the store holds afterwards.
func TestUnknownOutcome(t *testing.T) {
	store := &faulty{after: errors.New("timeout")}
	c := open(t, store)
	if _, err := c.Create(t.Context(), []byte(prices), catalog.Write{}); err == nil {
		t.Fatal("the store's error is lost")
	}
	if _, err := c.Get("prices"); err != nil {
		t.Errorf("the store has the topic and the view has not: %v", err)
	}
	store.after, store.before = nil, freshet.ErrUnavailable
	if err := first(c.Patch(t.Context(), "prices", []byte(`{"description":"x"}`), catalog.Write{})); !errors.Is(err, freshet.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if e, _ := c.Get("prices"); e.Topic.Description != "" {
		t.Error("the view shows what was not stored")
	}
}

// Somebody else, who uses the same store, was faster.
func TestLostRace(t *testing.T) {
	records := &catalog.Memory{}
	ours, theirs := open(t, records), open(t, records)
	create(t, theirs, prices)
	if _, err := ours.Create(t.Context(), []byte(prices), catalog.Write{}); !errors.Is(err, freshet.ErrExists) {
		t.Errorf("got %v", err)
	}
	if _, err := theirs.Patch(t.Context(), "prices", []byte(`{"description":"theirs"}`), catalog.Write{}); err != nil {
		t.Fatal(err)
	}
	if _, err := ours.Patch(t.Context(), "prices", []byte(`{"description":"ours"}`), catalog.Write{}); !errors.Is(err, freshet.ErrConflict) {
		t.Errorf("got %v", err)
	}
	if e, _ := ours.Get("prices"); e.Topic.Description != "theirs" {
		t.Errorf("the view was not brought in line: %q", e.Topic.Description)
	}
}

func TestWatchBeginsWithWhatIsThere(t *testing.T) {
	c := open(t, &catalog.Memory{})
	create(t, c, prices)
	n := 0
	stop := c.Watch(func(ch catalog.Change) {
		if ch.Old == nil && ch.New.Name == "prices" {
			n++
		}
	})
	stop()
	if err := c.Delete(t.Context(), "prices", catalog.Write{}); err != nil {
		t.Fatal(err)
	}
	create(t, c, prices)
	if n != 1 {
		t.Errorf("called %d times; want once, at the start", n)
	}
}

func TestDamagedStore(t *testing.T) {
	records := &catalog.Memory{}
	if _, err := records.Put(t.Context(), "bad", []byte(`{"name":`), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := catalog.New(t.Context(), records, sources()); err == nil || !strings.Contains(err.Error(), `"bad"`) {
		t.Errorf("got %v; want an error that names the record", err)
	}
}

func BenchmarkCreateAmong10000(b *testing.B) {
	c, err := catalog.New(b.Context(), &catalog.Memory{}, sources())
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	add := func() {
		n++
		if _, err := c.Create(b.Context(), []byte(strings.Replace(prices, `"prices"`, fmt.Sprintf(`"t%d"`, n), 1)), catalog.Write{}); err != nil {
			b.Fatal(err)
		}
	}
	for range 10_000 {
		add()
	}
	for b.Loop() {
		add()
	}
}
