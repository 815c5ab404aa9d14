package brokers

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/internal/flow/delivery"
	"freshet/internal/flow/source"
	"freshet/internal/freshettest"
)

// Env is what a target under test gets: it may reach this machine, and nothing else.
func Env(t testing.TB) delivery.Env {
	t.Helper()
	e := freshettest.Env(t)
	return delivery.Env{
		Client: e.Client, Secure: func(c *tls.Config) source.Client { return e.Secure(c) }, Dial: e.Dial,
		UserAgent: "Freshet/test", Log: slog.New(slog.DiscardHandler),
	}
}

// Target makes a target of the subscription "sub" of the topic "topic".
func Target(t testing.TB, kind delivery.Kind, config, format string, batch *freshet.Batch, env delivery.Env) delivery.Target {
	t.Helper()
	if wrong := kind.Check(json.RawMessage(config)); wrong != nil {
		t.Fatalf("%s: %v", config, wrong)
	}
	target, err := kind.New(&freshet.Subscription{ID: "sub", Topic: "topic", Type: kind.Name, Format: format, Batch: batch, Config: json.RawMessage(config)}, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(target.Close)
	return target
}

// Mistakes checks configurations, each without its braces: by which pointer and words the one mistake of each begins;
// "": it has none.
func Mistakes(t testing.TB, kind delivery.Kind, of map[string]string) {
	t.Helper()
	for options, want := range of {
		got := kind.Check(json.RawMessage(`{` + options + `}`))
		if (want == "") != (got == nil) || want != "" && (len(got) != 1 || !strings.HasPrefix(got[0].Pointer+": "+got[0].Detail, want)) {
			t.Errorf("%s: %v, want %s", options, got, want)
		}
	}
}

// Delivery is one to "sub" with messages {"n":first}, {"n":first+1} and so on, of the type event.
func Delivery(first, count int) *delivery.Delivery {
	d := &delivery.Delivery{Subscription: "sub", Topic: "topic", Attempt: 1, Batched: count > 1}
	for n := first; n < first+count; n++ {
		at := freshet.Position{Revision: freshet.Revision(n + 1), Sequence: uint64(n + 1), Tag: "ab"}
		d.ID = "sub_" + at.String()
		d.Messages = append(d.Messages, delivery.Message{Event: freshet.Event{Position: at, Type: freshet.TypeEvent, Time: time.Now().UTC(), Data: fmt.Appendf(nil, `{"n":%d}`, n)}})
	}
	return d
}

// Numbers are the bodies of messages from {"n":first}.
func Numbers(first, count int) (all []string) {
	for n := first; n < first+count; n++ {
		all = append(all, fmt.Sprintf(`{"n":%d}`, n))
	}
	return all
}

// Once is a list without what is there again, as of what is delivered at least once.
func Once(all []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool {
		was := seen[s]
		seen[s] = true
		return was
	})
}

// Away is for how long tests have a broker away.
func Away() time.Duration {
	if os.Getenv("FRESHET_TEST_ALL") != "" {
		return 30 * time.Second
	}
	return 2 * time.Second
}
