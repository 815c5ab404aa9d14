// Command mercure runs a Mercure hub with anonymous subscribers: no history, or with --bolt=FILE one
// in a Bolt database. Publishers use a token signed with --key.
package main

import (
	"context"
	"flag"
	"log/slog"
	"net/http"
	"os"

	"github.com/dunglas/mercure"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "where to listen")
	key := flag.String("key", "", "of the publishers' tokens (HS256)")
	bolt := flag.String("bolt", "", "keep the history in this file")
	flag.Parse()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	if err := run(*addr, *key, *bolt, log); err != nil {
		log.Error("stopped", "err", err)
		os.Exit(1)
	}
}

func run(addr, key, bolt string, log *slog.Logger) error {
	subscribers := mercure.NewSubscriberList(mercure.DefaultSubscriberListCacheSize)
	var transport mercure.Transport = mercure.NewLocalTransport(subscribers)
	if bolt != "" {
		t, err := mercure.NewBoltTransport(subscribers, log, bolt, "updates", 0, 0)
		if err != nil {
			return err
		}
		transport = t
	}
	hub, err := mercure.NewHub(context.Background(), mercure.WithTransport(transport), mercure.WithAnonymous(),
		mercure.WithPublisherJWT([]byte(key), "HS256"), mercure.WithWriteTimeout(0), mercure.WithLogger(log))
	if err != nil {
		return err
	}
	return http.ListenAndServe(addr, hub)
}
