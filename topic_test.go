package freshet_test

import (
	"slices"
	"strings"
	"testing"

	"freshet"
)

func TestTopicName(t *testing.T) {
	for _, name := range []string{"a", "0", "prices.eu-west_1", strings.Repeat("x", 128)} {
		if err := freshet.TopicName(name).Validate(); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", "A", ".a", "-a", "_a", "a/b", "a b", "a:b", "é", strings.Repeat("x", 129), "a\n"} {
		if err := freshet.TopicName(name).Validate(); err == nil {
			t.Errorf("%q is a valid name; want an error", name)
		}
	}
}

func TestModes(t *testing.T) {
	patch, only := freshet.ModeSnapshotPatch, freshet.ModeSnapshotOnly
	all := []freshet.Mode{patch, only, freshet.ModeMergePatch, freshet.ModeChanges}
	for _, tt := range []struct {
		name        string
		kind        freshet.Kind
		subscribers []freshet.Subscriber
		want        []freshet.Mode
	}{
		{"nothing said: every mode of the kind", freshet.KindSnapshot, nil, all},
		{"messages", freshet.KindEvent, nil, []freshet.Mode{freshet.ModeEvent}},
		{"SSE as it comes", freshet.KindSnapshot, []freshet.Subscriber{{Type: "sse"}}, all},
		{"the first allowed is the default", freshet.KindSnapshot, []freshet.Subscriber{{Type: "sse", AllowedModes: []freshet.Mode{only, patch}}}, []freshet.Mode{only, patch}},
		{"unless another is", freshet.KindSnapshot, []freshet.Subscriber{{Type: "sse", AllowedModes: []freshet.Mode{only, patch}, DefaultMode: patch}}, []freshet.Mode{patch, only}},
		{"other types only", freshet.KindSnapshot, []freshet.Subscriber{{Type: "webhook"}}, nil},
	} {
		topic := freshet.Topic{Kind: tt.kind, Subscribers: tt.subscribers}
		if got := topic.Modes("sse"); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v; want %v", tt.name, got, tt.want)
		}
		if tt.subscribers == nil && (topic.Modes("webhook") == nil || topic.Modes("pigeon") != nil) {
			t.Errorf("%s: webhook %v, pigeon %v", tt.name, topic.Modes("webhook"), topic.Modes("pigeon"))
		}
	}
}
