package httppoller

import "time"

// What reads other people's headers is fuzzed by itself.
var (
	RetryAfter = retryAfter
	LinkNext   = linkNext
	QuotaOf    = quotaOf
	FreshFor   = freshFor
)

func (q quota) Reset() time.Duration { return q.reset }
func (q quota) Remaining() int       { return q.remaining }
