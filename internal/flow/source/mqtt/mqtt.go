// Package mqtt subscribes to topics of an MQTT 5 server.
//
// Only what a subscriber needs of the protocol is here, and in wire.
package mqtt

import (
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/settings"
)

// Kind is the type mqtt.
func Kind() source.Kind {
	return source.Kind{
		Name:    "mqtt",
		Summary: "Subscribes to topics of an MQTT 5 server.",
		Notes:   notes,
		Feeds:   []freshet.Kind{freshet.KindSnapshot, freshet.KindEvent},
		Config:  config{},
		Check:   source.Check[config],
		New: func(conf json.RawMessage, env source.Env) (source.Source, error) {
			s := &subscriber{env: env, limit: int(cmp.Or(env.Limit, freshet.DefaultPayload)), log: cmp.Or(env.Log, slog.New(slog.DiscardHandler))}
			if wrong := settings.Read(conf, &s.config); wrong != nil {
				return nil, wrong
			}
			s.name = s.clientID()
			s.unsettled.session = digest(s.name)[:8]
			return s, nil
		},
	}
}

//go:embed notes.md
var notes string

// A subscriber is the Source of the type mqtt.
type subscriber struct {
	config
	env       source.Env
	limit     int    // bytes of a payload
	name      string // the client identifier
	log       *slog.Logger
	begun     bool // unsettled is known
	unsettled unsettled
}

// clientID names the session. Servers need not take more than 23 letters and digits (MQTT 5, 3.1.3.1).
func (s *subscriber) clientID() string {
	if s.ClientID != "" {
		return s.ClientID
	}
	var text strings.Builder
	text.WriteString(string(s.env.ID))
	for _, t := range s.Topics {
		text.WriteString("\x00" + strconv.Itoa(t.QoS) + t.Filter)
	}
	return "freshet" + digest(text.String())[:16]
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Run takes messages until ctx ends.
func (s *subscriber) Run(ctx context.Context, to source.Sink) error {
	source.Stay(ctx, to, s.log, func(ctx context.Context, up func()) error {
		if err := s.begin(ctx, to); err != nil {
			return err
		}
		conn, err := s.Dial(ctx, s.env.Dial, s.env.Secrets)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		return s.serve(ctx, to, conn, up)
	})
	return nil
}

// begin reads what is not settled from the mark.
func (s *subscriber) begin(ctx context.Context, to source.Sink) error {
	if s.begun {
		return nil
	}
	mark, err := to.Mark(ctx)
	if err != nil {
		return fmt.Errorf("where to go on: %w", err)
	}
	s.unsettled.load(mark)
	s.begun = true
	return nil
}
