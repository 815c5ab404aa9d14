package catalog

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"freshet"
	"freshet/internal/strict"
)

// Sources are the types of source that a topic may have, by name.
type Sources map[string]SourceType

// A SourceType is what the catalog needs to know of one.
type SourceType struct {
	Kinds []freshet.Kind                               // the kinds of topic that it can feed; none: every kind
	Check func(config json.RawMessage) freshet.Invalid // pointers are relative to config, which is at least {}
	// Pushed says that the data is posted to the topic.
	Pushed bool

	// Mask hides what is secret in a config; Unmask puts what stored has back where a config still hides
	// it. Both may be nil: there are no secrets.
	Mask   func(config json.RawMessage) json.RawMessage
	Unmask func(config, stored json.RawMessage) json.RawMessage
}

// masked is the topic as it is shown.
func (s Sources) masked(t freshet.Topic) freshet.Topic {
	if mask := s[t.Source.Type].Mask; mask != nil && len(t.Source.Config) > 0 {
		t.Source.Config = mask(t.Source.Config)
	}
	return t
}

// unmask gives the topic the secrets that it hides and old has.
func (s Sources) unmask(t *freshet.Topic, old freshet.Source) {
	if unmask := s[t.Source.Type].Unmask; unmask != nil && t.Source.Type == old.Type && len(t.Source.Config) > 0 && len(old.Config) > 0 {
		t.Source.Config = unmask(t.Source.Config, old.Config)
	}
}

// Ranges of a topic's settings.
const (
	minAge     = freshet.Duration(time.Second)
	maxAge     = freshet.Duration(30 * 24 * time.Hour)
	maxEvents  = 1_000_000
	minBytes   = freshet.Bytes(1 << 10)
	maxBytes   = freshet.Bytes(16 << 30)
	minPayload = freshet.Bytes(1)
)

// Decode reads a topic document as a user writes it and reports everything that is wrong with it,
// in document order. The topic is as written: defaults are not filled in, and what only the server
// sets is dropped.
func (s Sources) Decode(data []byte) (freshet.Topic, freshet.Invalid) {
	var t freshet.Topic
	decoded := strict.Decode(data, &t)
	return own(t), strict.Merge(data, decoded, s.Check(&t))
}

// own is the topic without what the server adds.
func own(t freshet.Topic) freshet.Topic {
	t.ManagedBy, t.CreateTimestamp, t.ModifyTimestamp, t.Status = "", time.Time{}, time.Time{}, nil
	return t
}

// Check reports everything that is wrong with a topic, in the order of its members.
func (s Sources) Check(t *freshet.Topic) freshet.Invalid {
	var c checker
	if err := t.Name.Validate(); err != nil {
		c.mistake("/name", "%s", err)
	}
	switch kinds := []string{string(freshet.KindSnapshot), string(freshet.KindEvent)}; {
	case t.Kind == "":
		c.mistake("/kind", "required: snapshot for a document that changes, event for a stream of messages")
	case t.Kind.Modes() == nil:
		c.mistake("/kind", "%q is not a kind of topic%s", t.Kind, choices(string(t.Kind), kinds))
	}
	c.source(s, t)
	c.subscribers(t)
	c.between("/history/maxAge", t.History.MaxAge, minAge, maxAge)
	if n := t.History.MaxEvents; n < 0 || n > maxEvents {
		c.mistake("/history/maxEvents", "must be from 1 to %d, not %d", maxEvents, n)
	}
	c.size("/history/maxBytes", t.History.MaxBytes, minBytes, maxBytes)
	c.size("/limits/payload", t.Limits.Payload, minPayload, freshet.MaxPayload)
	c.diff(t)
	return c.found
}

type checker struct{ found freshet.Invalid }

func (c *checker) mistake(pointer, format string, args ...any) {
	c.found = append(c.found, freshet.FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

func (c *checker) between(pointer string, d, low, high freshet.Duration) {
	if d != 0 && (d < low || d > high) {
		c.mistake(pointer, "must be from %s to %s, not %s", low, high, d)
	}
}

func (c *checker) size(pointer string, b, low, high freshet.Bytes) {
	if b != 0 && (b < low || b > high) {
		c.mistake(pointer, "must be from %s to %s, not %s", low, high, b)
	}
}

// choices says what a word could have been.
func choices(word string, names []string) string {
	if near := strict.Near(word, names); near != "" {
		return fmt.Sprintf(": did you mean %q?", near)
	}
	return ": use " + strings.Join(names, " or ")
}

func (c *checker) source(known Sources, t *freshet.Topic) {
	names := slices.Sorted(maps.Keys(known))
	source, ok := known[t.Source.Type]
	switch {
	case t.Source.Type == "":
		c.mistake("/source/type", "required%s", choices("", names))
		return
	case !ok:
		c.mistake("/source/type", "%q is not a type of source%s", t.Source.Type, choices(t.Source.Type, names))
		return
	case len(source.Kinds) > 0 && t.Kind.Modes() != nil && !slices.Contains(source.Kinds, t.Kind):
		c.mistake("/source/type", "%s cannot feed topics of the kind %s", t.Source.Type, t.Kind)
	}
	c.between("/source/staleAfter", t.Source.StaleAfter, 0, freshet.Duration(366*24*time.Hour))
	config := t.Source.Config
	if len(config) == 0 || string(config) == "null" {
		config = json.RawMessage("{}")
	}
	c.found = append(c.found, source.Check(config).In("/source/config")...)
}

func (c *checker) subscribers(t *freshet.Topic) {
	seen, types := map[string]bool{}, freshet.SubscriberTypes()
	for i, s := range t.Subscribers {
		at := "/subscribers/" + strconv.Itoa(i)
		switch {
		case s.Type == "":
			c.mistake(at+"/type", "required: use %s", strings.Join(types, ", "))
		case !slices.Contains(types, s.Type):
			c.mistake(at+"/type", "%q is not a type of subscriber%s", s.Type, choices(s.Type, types))
		case seen[s.Type]:
			c.mistake(at+"/type", "%s is there already: put all of its modes into one entry", s.Type)
		}
		seen[s.Type] = true
		if fit := t.Kind.Modes(); fit != nil { // else the kind is the mistake
			c.modes(at, s, t.Kind, fit)
		}
	}
}

func (c *checker) modes(at string, s freshet.Subscriber, kind freshet.Kind, fit []freshet.Mode) {
	var names []string
	for _, m := range fit {
		names = append(names, string(m))
	}
	for j, m := range s.AllowedModes {
		pointer := at + "/allowedModes/" + strconv.Itoa(j)
		switch {
		case !slices.Contains(fit, m):
			c.mistake(pointer, "%q is not a mode of topics of the kind %s%s", m, kind, choices(string(m), names))
		case slices.Contains(s.AllowedModes[:j], m):
			c.mistake(pointer, "%s is there already", m)
		}
	}
	switch m := s.DefaultMode; {
	case m == "":
	case !slices.Contains(fit, m):
		c.mistake(at+"/defaultMode", "%q is not a mode of topics of the kind %s%s", m, kind, choices(string(m), names))
	case len(s.AllowedModes) > 0 && !slices.Contains(s.AllowedModes, m):
		c.mistake(at+"/defaultMode", "%s is not among the allowedModes", m)
	}
}

func (c *checker) diff(t *freshet.Topic) {
	d := &t.Diff
	if t.Kind == freshet.KindEvent && (len(d.ArrayKeys)+len(d.Ignore)+len(d.Sets) > 0 || d.Tolerance != 0 || d.NumericEqual) {
		c.mistake("/diff", "no changes are computed for topics of the kind event: remove it")
		return
	}
	for _, pointer := range slices.Sorted(maps.Keys(t.Diff.ArrayKeys)) {
		at := "/diff/arrayKeys/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(pointer)
		if err := checkPointer(pointer); err != nil {
			c.mistake(at, "%s", err)
		}
		if t.Diff.ArrayKeys[pointer] == "" {
			c.mistake(at, "must name the member that identifies the items of the array")
		}
	}
	c.pointers("/diff/ignore", d.Ignore)
	for i, pointer := range d.Ignore {
		if pointer == "" {
			c.mistake("/diff/ignore/"+strconv.Itoa(i), "this is the whole document: nothing would ever change")
		}
	}
	c.pointers("/diff/sets", d.Sets)
	if d.Tolerance < 0 {
		c.mistake("/diff/tolerance", "must be 0 or more, not %v", d.Tolerance)
	}
}

// pointers checks a list of pointers, of which the change engine takes so many.
func (c *checker) pointers(at string, list []string) {
	const most = 64
	if len(list) > most {
		c.mistake(at, "%d pointers are too many: at most %d", len(list), most)
	}
	for i, pointer := range list {
		if err := checkPointer(pointer); err != nil {
			c.mistake(at+"/"+strconv.Itoa(i), "%s", err)
		}
	}
}

// checkPointer checks the syntax of RFC 6901 section 3.
func checkPointer(p string) error {
	if p != "" && p[0] != '/' {
		return fmt.Errorf("%q is not a JSON Pointer: it must start with a slash, such as %q", p, "/"+p)
	}
	for i := range len(p) {
		if p[i] == '~' && (i+1 == len(p) || p[i+1] != '0' && p[i+1] != '1') {
			return fmt.Errorf("%q is not a JSON Pointer: write ~0 for ~ and ~1 for a slash in a name", p)
		}
	}
	return nil
}

// Effective is the topic with its defaults filled in.
func Effective(t freshet.Topic) freshet.Topic {
	if t.Subscribers = complete(slices.Clone(t.Subscribers), t.Kind); len(t.Subscribers) == 0 {
		t.Subscribers = everybody(t.Kind)
	}
	if t.History.MaxAge == 0 {
		t.History.MaxAge = freshet.DefaultMaxAge
	}
	if t.History.MaxEvents == 0 {
		t.History.MaxEvents = freshet.DefaultMaxEvents
	}
	if t.History.MaxBytes == 0 {
		t.History.MaxBytes = freshet.DefaultMaxBytes
	}
	if t.Limits.Payload == 0 {
		t.Limits.Payload = freshet.DefaultPayload
	}
	return t
}

// complete fills in the modes that subscribers do not name.
func complete(all []freshet.Subscriber, kind freshet.Kind) []freshet.Subscriber {
	for i := range all {
		s := &all[i]
		if len(s.AllowedModes) == 0 {
			s.AllowedModes = kind.Modes()
		}
		if s.DefaultMode == "" && len(s.AllowedModes) > 0 {
			s.DefaultMode = s.AllowedModes[0]
		}
	}
	return all
}

// everybody is what a topic allows that names no subscribers. Thousands of topics share it.
func everybody(kind freshet.Kind) []freshet.Subscriber {
	if kind == freshet.KindEvent {
		return everybodyOfEvents()
	}
	return everybodyOfSnapshots()
}

//nolint:gochecknoglobals // constants
var (
	everybodyOfEvents    = sync.OnceValue(func() []freshet.Subscriber { return allTypes(freshet.KindEvent) })
	everybodyOfSnapshots = sync.OnceValue(func() []freshet.Subscriber { return allTypes(freshet.KindSnapshot) })
)

func allTypes(kind freshet.Kind) []freshet.Subscriber {
	var all []freshet.Subscriber
	for _, name := range freshet.SubscriberTypes() {
		all = append(all, freshet.Subscriber{Type: name})
	}
	return complete(all, kind)
}
