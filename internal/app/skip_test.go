package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/internal/app"
)

// picky refuses what is poison to it.
func picky(r *http.Request, body string) int {
	if strings.Contains(body, "poison") {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusOK
}

const briefly = `"retries":["PT0.01S"]`

// received waits until a receiver's path has had so many requests that were not refused, and returns the bodies of
// them with the reasons of resets before them.
func (rec *receiver) received(t *testing.T, path string, n int) string {
	t.Helper()
	var got []string
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		got = nil
		for line := range strings.Lines(rec.all()) {
			if at, body, _ := strings.Cut(strings.TrimSpace(line), " "); at == "/"+path && !strings.Contains(body, "poison") {
				got = append(got, body)
			}
		}
		if len(got) >= n || time.Now().After(deadline) {
			break
		}
	}
	return strings.Join(got, "\n")
}

// What a receiver never takes is skipped when somebody says so: that event alone, or its batch, and no other.
func TestSkip(t *testing.T) {
	base := serve(t, app.Config{Dev: true, Topics: []freshet.Topic{pushed("log", freshet.KindEvent)}})
	rec := receive(t, picky)
	rec.subscribe(t, base, "log", "one", briefly)
	rec.subscribe(t, base, "log", "side-by-side", briefly+`,"parallel":3`)
	rec.subscribe(t, base, "log", "batch", briefly, `"batch":{"maxEvents":3,"maxWait":"PT0.3S"},`)
	rec.subscribe(t, base, "log", "patient", `"retries":["PT1H"]`)
	at := base + "/v1/subscriptions/"
	change(t, "POST", base+"/v1/topics/log/subscriptions", `{"id":"wall","type":"sse"}`, http.StatusCreated)
	for _, body := range []string{`1`, `"poison"`, `3`, `4`} {
		post(t, base+"/live/log", body)
	}
	for _, id := range []string{"one", "side-by-side", "batch"} {
		s := awaited(t, at+id, isStatus("disabled"))
		failed := s.Progress.LastError.EventID
		if !strings.Contains(s.Progress.Reason, "/v1/subscriptions/"+id+":skip") {
			t.Errorf("%s: the reason does not name the way: %s", id, s.Progress.Reason)
		}
		if answer := change(t, "POST", at+id+":skip", `{"eventId":"1-1-a"}`, http.StatusConflict); !strings.Contains(answer, "nothing-to-skip") || !strings.Contains(answer, failed) {
			t.Errorf("%s: another event: %s", id, answer)
		}
		answer := change(t, "POST", at+id+":skip", ``, http.StatusAccepted)
		events := 1
		if id == "batch" {
			events = 3
		}
		if want := fmt.Sprintf(`{"eventId":"%s","events":%d,"subscription":{"id":"%s"`, failed, events, id); !strings.HasPrefix(answer, want) || !strings.Contains(answer, `"status":"active"`) {
			t.Errorf("%s: %s, want %s", id, answer, want)
		}
		awaited(t, at+id, func(s freshet.Subscription) bool { return s.Progress.Lag == 0 })
		change(t, "POST", at+id+":skip", `{}`, http.StatusConflict)
	}
	if got := rec.received(t, "one", 3); got != "1\n3\n4" {
		t.Errorf("one got %s", got)
	}
	if got := rec.received(t, "batch", 1); !strings.HasSuffix(got, `"data":4}]`) {
		t.Errorf("batch got %s", got)
	}
	if got := rec.received(t, "side-by-side", 3); !strings.Contains(got, "4") {
		t.Errorf("side by side it got %s", got)
	}
	// Also while it is still tried.
	s := awaited(t, at+"patient", func(s freshet.Subscription) bool { return s.Progress.Attempts == 1 })
	change(t, "POST", at+"patient:skip", `{"eventId":"`+s.Progress.LastError.EventID+`"}`, http.StatusAccepted)
	if got := rec.received(t, "patient", 3); got != "1\n3\n4" {
		t.Errorf("patient got %s", got)
	}
	if answer := change(t, "POST", at+"wall:skip", ``, http.StatusConflict); !strings.Contains(answer, "come for their events") {
		t.Error(answer)
	}
	// What is delivered again is not what failed.
	change(t, "POST", at+"one:recover", `{"since":"2020-01-02T15:04:05Z"}`, http.StatusAccepted)
	awaited(t, at+"one", isStatus("disabled"))
	change(t, "POST", at+"one:recover", `{"since":"2020-01-02T15:04:05Z"}`, http.StatusAccepted)
	change(t, "PATCH", at+"one", `{"status":"suspended"}`, http.StatusOK)
}

// Who is sent what changes gets a whole document after a revision that was skipped, and is told why; who gets each
// revision gets each of those after it. So it is after a restart too.
func TestSkippedDocument(t *testing.T) {
	long := strings.Repeat("x", 200)
	doc := func(n any) string { return fmt.Sprintf(`{"n":%v,"long":"%s"}`, n, long) }
	config := app.Config{Dev: true, Data: t.TempDir(), Topics: []freshet.Topic{pushed("doc", freshet.KindSnapshot)}}
	rec := receive(t, picky)
	patch := func(n int) string { return fmt.Sprintf(`[{"op":"replace","path":"/n","value":%d}]`, n) }
	ways := map[string]struct{ options, want string }{
		"latest":      {`"mode":"snapshot-patch",`, doc(1) + "\nevent-skipped " + doc(4) + "\n" + patch(5)},
		"merges":      {`"mode":"merge-patch",`, doc(1) + "\nevent-skipped " + doc(4) + "\n" + `{"n":5}`},
		"documents":   {`"mode":"snapshot-only",`, doc(1) + "\n" + doc(4) + "\n" + doc(5)},
		"all":         {`"mode":"snapshot-patch","behind":"all",`, doc(1) + "\nevent-skipped " + doc(3) + "\n" + patch(4) + "\n" + patch(5)},
		"all-merges":  {`"mode":"merge-patch","behind":"all",`, doc(1) + "\nevent-skipped " + doc(3) + "\n" + `{"n":4}` + "\n" + `{"n":5}`},
		"every":       {`"mode":"snapshot-only","behind":"all",`, doc(1) + "\n" + doc(3) + "\n" + doc(4) + "\n" + doc(5)},
		"unwitnessed": {`"mode":"snapshot-patch",`, doc(1) + "\nevent-skipped " + doc(5)},
	}
	t.Run("skip", func(t *testing.T) {
		base := serve(t, config)
		post(t, base+"/live/doc", doc(1))
		for id, way := range ways {
			rec.subscribe(t, base, "doc", id, briefly, way.options)
			awaited(t, base+"/v1/subscriptions/"+id, func(s freshet.Subscription) bool { return s.Progress.EventID != "" })
		}
		post(t, base+"/live/doc", doc(`"poison"`))
		for id := range ways {
			awaited(t, base+"/v1/subscriptions/"+id, isStatus("disabled"))
		}
		skip := func(id string) {
			t.Helper()
			change(t, "POST", base+"/v1/subscriptions/"+id+":skip", `{}`, http.StatusAccepted)
			awaited(t, base+"/v1/subscriptions/"+id, func(s freshet.Subscription) bool { return s.Progress.Lag == 0 })
		}
		skip("unwitnessed") // there is no other document yet, and this one is not sent
		change(t, "PATCH", base+"/v1/subscriptions/unwitnessed", `{"status":"suspended"}`, http.StatusOK)
		for n := range 2 {
			post(t, base+"/live/doc", doc(n+3))
		}
		for id := range ways {
			if id != "unwitnessed" {
				skip(id)
			}
		}
	})
	t.Run("after a restart", func(t *testing.T) {
		base := serve(t, config)
		post(t, base+"/live/doc", doc(5))
		change(t, "PATCH", base+"/v1/subscriptions/unwitnessed", `{"status":"active"}`, http.StatusOK)
		for id, way := range ways {
			if got := rec.received(t, id, strings.Count(way.want, "\n")+1); got != way.want {
				t.Errorf("%s got\n%s\nwant\n%s", id, strings.ReplaceAll(got, long, "…"), strings.ReplaceAll(way.want, long, "…"))
			}
		}
	})
}
