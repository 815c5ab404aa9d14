package source

// RetryAfter is fuzzed by itself.
var RetryAfter = retryAfter
