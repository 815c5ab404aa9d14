package httppoller

// What reads other people's headers is fuzzed by itself.
var (
	RetryAfter = retryAfter
	LinkNext   = linkNext
)
