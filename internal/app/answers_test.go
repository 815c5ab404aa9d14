package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"freshet"
	"freshet/internal/app"
)

// What is answered to those who ask for the impossible helps them, and tells nothing of the insides.
func TestAnswersToMistakes(t *testing.T) {
	few := pushed("few", freshet.KindEvent)
	few.History.MaxEvents = 5
	poller := polled("polled", "https://api.example.com/")
	base := serve(t, app.Config{Topics: []freshet.Topic{pushed("doc", freshet.KindSnapshot), few, pushed("empty", freshet.KindSnapshot), pushed("log", freshet.KindEvent), poller}})
	ids := map[string][]string{}
	for _, topic := range []string{"doc", "few", "log"} {
		for n := range 40 {
			resp, body := do(t, "POST", base+"/live/"+topic, fmt.Sprintf(`{"n":%d,"text":"long enough for patches, it seems, or is it"}`, n), "Content-Type: application/json")
			if resp.StatusCode != http.StatusAccepted {
				t.Fatal(resp.Status, body)
			}
			ids[topic] = append(ids[topic], strings.Trim(resp.Header.Get("ETag"), `"`))
		}
	}
	future := "99-zzzz-9f86d081"
	const ndjson = "Accept: application/x-ndjson"
	for _, tt := range []struct {
		method, path, header string
		status               int
		slug, says           string
	}{
		{"GET", "/live/doc?at=" + future, "", 404, "nothing-yet", "later than the topic's last, " + ids["doc"][39]},
		{"GET", "/live/few?at=" + future, "", 404, "nothing-yet", "later than the topic's last"},
		{"GET", "/live/empty?at=" + future, "", 404, "nothing-yet", "the topic has no event yet"},
		{"GET", "/live/few?at=" + ids["few"][0], "", 410, "history-gone", "the document at event " + ids["few"][0] + " is not, or no longer, in the history"},
		{"GET", "/live/doc?at=2001-01-01T00:00:00Z", "", 410, "history-gone", "the document at 2001-01-01T00:00:00Z is not"},
		{"GET", "/live/log?at=2001-01-01T00:00:00Z", "", 410, "history-gone", "the document at 2001-01-01T00:00:00Z is not"},
		{"GET", "/live/few?from=" + ids["few"][0], ndjson, 410, "history-gone", "the history that was asked for is not"},
		{"GET", "/live/doc?from=" + future, ndjson, 404, "nothing-yet", "later than the topic's last"},
		{"GET", "/live/log?from=" + future, ndjson, 404, "nothing-yet", "later than the topic's last"},
		{"GET", "/live/doc?from=" + ids["doc"][9] + "&to=" + ids["doc"][8], ndjson, 400, "invalid-parameter", "to: it lies before from"},
		{"GET", "/live/log?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", ndjson, 400, "invalid-parameter", "to: it lies before from"},
		{"POST", "/live/doc", "Content-Encoding: gzip", 415, "unsupported-media-type", `Content-Encoding is "gzip"`},
		{"POST", "/live/doc", "Content-Type: application/json; charset=latin-1", 415, "unsupported-media-type", "latin-1"},
		{"POST", "/live/doc", "Content-Type: ", 415, "unsupported-media-type", "no Content-Type: send application/json or application/x-ndjson"},
		{"POST", "/live/polled", "Content-Type: ", 405, "method-not-allowed", "the source of polled is http-poller"},
		{"POST", "/live/polled", "Content-Encoding: br", 405, "method-not-allowed", "the source of polled is http-poller"},
		{"POST", "/live/none", "Content-Type: ", 404, "topic-not-found", `there is no topic "none"`},
	} {
		headers := []string{"Content-Type: application/json"}
		if tt.header != "" {
			headers = append(headers, tt.header)
		}
		body := ""
		if tt.method == "POST" {
			body = `{"n":0}`
		}
		resp, text := do(t, tt.method, base+tt.path, body, headers...)
		var p struct{ Type, Detail string }
		if err := json.Unmarshal([]byte(text), &p); err != nil || resp.StatusCode != tt.status || !strings.HasSuffix(p.Type, "/"+tt.slug) || !strings.Contains(p.Detail, tt.says) {
			t.Errorf("%s %s %s: %s %s; want %d %s %q", tt.method, tt.path, tt.header, resp.Status, text, tt.status, tt.slug, tt.says)
		}
		if allow := resp.Header.Get("Allow"); strings.Contains(allow, "POST") || (tt.status == 405) != (allow != "") {
			t.Errorf("%s %s: Allow is %q", tt.method, tt.path, allow)
		}
		if strings.Contains(text, "entry") || strings.Contains(text, "keyframe") {
			t.Errorf("%s %s tells of the insides: %s", tt.method, tt.path, text)
		}
	}
	// The one after the last is nothing, and no mistake.
	for _, topic := range []string{"doc", "log"} {
		if resp, body := do(t, "GET", base+"/live/"+topic+"?from="+ids[topic][39]+"&to="+ids[topic][39], "", ndjson); resp.StatusCode != http.StatusOK || strings.Count(body, "\n") > 1 {
			t.Errorf("%s: %s %s", topic, resp.Status, body)
		}
	}
}
