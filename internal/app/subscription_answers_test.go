package app_test

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"freshet"
	"freshet/internal/app"
	"freshet/internal/freshettest"
)

// What is wrong with a request about a subscription is said of a subscription, and in words that mean something to who
// asks.
func TestSubscriptionProblems(t *testing.T) {
	base := serve(t, app.Config{Dev: true, Topics: []freshet.Topic{pushed("log", freshet.KindEvent)}})
	rec := receive(t, func(*http.Request, string) int { return http.StatusOK })
	rec.subscribe(t, base, "log", "a", briefly)
	post(t, base+"/live/log", `1`)
	at := base + "/v1/subscriptions/a"
	if answer := change(t, "POST", base+"/v1/topics/log/subscriptions", `{"id":"a","type":"sse"}`, http.StatusConflict); !strings.Contains(answer, `/subscription-exists","title":"subscription exists already"`) {
		t.Error(answer)
	}
	for _, method := range []string{"PATCH", "DELETE"} {
		resp, answer := do(t, method, at, `{}`, "Content-Type: application/json", `If-Match: "x"`)
		if resp.StatusCode != http.StatusPreconditionFailed || !strings.Contains(answer, `"title":"precondition failed"`) || !strings.Contains(answer, "another version by now") {
			t.Errorf("%s: %s %s", method, resp.Status, answer)
		}
	}
	for _, event := range []string{"7-zzzz-00000000", "1-1-00000000", "0-0-"} {
		if answer := change(t, "POST", at+":redeliver", `{"eventId":"`+event+`"}`, http.StatusGone); !strings.Contains(answer, `"detail":"event `+event+` of topic log: no longer in the history"`) {
			t.Errorf("%s: %s", event, answer)
		}
	}
}

// A topic that cannot be told of subscriptions that are given up is a mistake that is seen at the start.
func TestEventsOfSubscriptions(t *testing.T) {
	doc := pushed("doc", freshet.KindSnapshot)
	poll := polled("poll", "http://127.0.0.1:1/")
	for events, want := range map[freshet.TopicName]string{
		"": "", "ops": "", "none": "there is no such topic", "doc": "its kind is snapshot, not event", "poll": "its kind is snapshot, not event",
	} {
		t.Run(string(events), func(t *testing.T) {
			var log freshettest.Buffer
			serveLogged(t, app.Config{Dev: true, Subscriptions: app.SubscriptionsConfig{Events: events}, Topics: []freshet.Topic{pushed("ops", freshet.KindEvent), doc, poll}}, slog.New(slog.NewTextHandler(&log, nil)))
			if got := log.String(); strings.Contains(got, "subscriptions.events names a topic") != (want != "") || !strings.Contains(got, want) {
				t.Errorf("it logs %s, want %q", got, want)
			}
		})
	}
}

// Which broker fails is said by its address.
func TestFailingBrokerIsNamed(t *testing.T) {
	var log freshettest.Buffer
	base := serveLogged(t, app.Config{Dev: true, Topics: []freshet.Topic{pushed("log", freshet.KindEvent)}}, slog.New(slog.NewTextHandler(&log, nil)))
	change(t, "POST", base+"/v1/topics/log/subscriptions", `{"id":"a","type":"nats","config":{"servers":"nats://127.0.0.1:1","retries":["PT0.01S","PT0.01S","PT0.01S","PT0.01S","PT0.01S"]}}`, http.StatusCreated)
	post(t, base+"/live/log", `1`)
	awaited(t, base+"/v1/subscriptions/a", isStatus("disabled"))
	if got := log.String(); !strings.Contains(got, "new deliveries to it wait") || !strings.Contains(got, "endpoint=nats://127.0.0.1:1") {
		t.Error(got)
	}
}
