package httppoller

// RetryAfter is fuzzed by itself.
var RetryAfter = retryAfter
