package app_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"freshet"
	"freshet/internal/app"
)

// BenchmarkStart is how long a server with 10 000 topics takes to answer, each topic with ten events of
// history.
func BenchmarkStart(b *testing.B) {
	const topics, events = 10_000, 10
	c := app.Config{Listen: "127.0.0.1:0", Data: b.TempDir(), Journal: app.JournalConfig{Sync: "1m"}}
	for i := range topics {
		c.Topics = append(c.Topics, freshet.Topic{Name: freshet.TopicName(fmt.Sprintf("t%05d", i)), Kind: freshet.KindSnapshot, Source: freshet.Source{Type: "http-post", AlwaysOn: true}})
	}
	run := func(use func(url string)) {
		ctx, stop := context.WithCancel(b.Context())
		defer stop()
		if err := app.Run(ctx, c, slog.New(slog.DiscardHandler), func(s app.Server) { use(s.URL); stop() }); err != nil {
			b.Fatal(err)
		}
	}
	run(func(url string) { fillTopics(b, url, c.Topics, events) })
	for b.Loop() {
		run(func(string) { b.StopTimer() })
		b.StartTimer()
	}
}

func fillTopics(b *testing.B, url string, topics []freshet.Topic, events int) {
	b.Helper()
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < len(topics); i += 8 {
				for n := range events {
					body := fmt.Sprintf(`{"n":%d,"text":"%s"}`, n, strings.Repeat("long ", 20))
					resp, err := http.Post(url+"/live/"+string(topics[i].Name), "application/json", strings.NewReader(body)) //nolint:noctx // of a benchmark
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			}
		})
	}
	wg.Wait()
}
