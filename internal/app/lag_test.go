package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/internal/app"
)

// The lag of a subscription that has had nothing yet counts from where it begins, of every type and after a restart.
func TestLagBeforeTheFirstDelivery(t *testing.T) {
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer refuses.Close()
	config := app.Config{Dev: true, Data: t.TempDir(), Topics: []freshet.Topic{pushed("log", freshet.KindEvent), pushed("doc", freshet.KindSnapshot)}}
	hook := `"type":"webhook","config":{"url":"` + refuses.URL + `"}`
	subs := []struct {
		id, topic, document string
		lag                 [2]int // of 20, and with three more
	}{
		{"hook", "log", hook, [2]int{0, 3}},
		{"sse", "log", `"type":"sse"`, [2]int{0, 3}},
		{"socket", "log", `"type":"websocket"`, [2]int{0, 3}},
		{"idle", "log", `"status":"suspended",` + hook, [2]int{0, 3}},
		{"all", "log", `"start":"beginning",` + hook, [2]int{20, 23}},
		{"since", "log", `"start":"2020-01-02T15:04:05Z","type":"sse"`, [2]int{20, 23}},
		{"doc", "doc", hook, [2]int{1, 4}}, // its document is still to come
		{"each", "doc", `"behind":"all","start":"beginning",` + hook, [2]int{20, 23}},
		{"wall", "doc", `"type":"sse","start":"beginning"`, [2]int{1, 4}},
	}
	lags := func(t *testing.T, base string, at int) {
		t.Helper()
		for _, s := range subs {
			for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				_, body := do(t, "GET", base+"/v1/subscriptions/"+s.id, "")
				var now freshet.Subscription
				if err := json.Unmarshal([]byte(body), &now); err != nil {
					t.Fatal(err, body)
				}
				if now.Progress.Lag == s.lag[at] {
					break
				}
				if time.Now().After(deadline) {
					t.Errorf("%s: lag %d, want %d", s.id, now.Progress.Lag, s.lag[at])
					break
				}
			}
		}
	}
	put := func(t *testing.T, base string, from, to int) {
		t.Helper()
		for i := range to - from {
			for _, topic := range []string{"log", "doc"} {
				post(t, base+"/live/"+topic, fmt.Sprintf(`{"n":%d}`, from+i))
			}
		}
	}
	t.Run("new", func(t *testing.T) {
		base := serve(t, config)
		put(t, base, 0, 20)
		for _, s := range subs {
			resp, body := do(t, "POST", base+"/v1/topics/"+s.topic+"/subscriptions", `{"id":"`+s.id+`",`+s.document+`}`, "Content-Type: application/json")
			if want := fmt.Sprintf(`"lag":%d`, s.lag[0]); resp.StatusCode != http.StatusCreated || !strings.Contains(body, want) {
				t.Errorf("%s: %s %s, want %s", s.id, resp.Status, body, want)
			}
		}
		lags(t, base, 0)
		put(t, base, 20, 23)
		lags(t, base, 1)
	})
	t.Run("after a restart", func(t *testing.T) { lags(t, serve(t, config), 1) })
}
