// Package httppost is the source of topics that others publish to.
package httppost

import (
	"context"
	"encoding/json"

	"freshet"
	"freshet/internal/flow/source"
)

// config has no members: who may publish, and how much, the topic says.
type config struct{}

// Kind is the type http-post.
func Kind() source.Kind {
	return source.Kind{
		Name:    "http-post",
		Summary: "Takes what is sent to the topic with POST.",
		Notes:   "`POST /live/{topic}` with `Content-Type: application/json` is the source. Without subscribers and `alwaysOn` it answers 410.",
		Feeds:   []freshet.Kind{freshet.KindSnapshot, freshet.KindEvent},
		Pushed:  true,
		Config:  config{},
		Check:   source.Check[config],
		New: func(conf json.RawMessage, _ source.Env) (source.Source, error) {
			if wrong := source.Check[config](conf); wrong != nil {
				return nil, wrong
			}
			return waiting{}, nil
		},
	}
}

// waiting runs, so that the topic is accepting, and has nothing to do.
type waiting struct{}

func (waiting) Run(ctx context.Context, _ source.Sink) error {
	<-ctx.Done()
	return nil
}
