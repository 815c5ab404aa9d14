package httppoller

import (
	"context"
	"time"

	"freshet/internal/flow/source"
)

// What reads other people's headers is fuzzed by itself.
var (
	RetryAfter = retryAfter
	LinkNext   = linkNext
	QuotaOf    = quotaOf
	FreshFor   = freshFor
)

func (q quota) Reset() time.Duration { return q.reset }
func (q quota) Remaining() int       { return q.remaining }

// PollOf makes one poll at a time.
func PollOf(s source.Source) func(context.Context, source.Sink) bool { return s.(*poller).poll }
