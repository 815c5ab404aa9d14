package app

import (
	"fmt"
	"strings"

	"freshet"
	"freshet/internal/api"
)

// ProblemTypes are the types of problems that the HTTP API answers with.
func ProblemTypes() []api.ProblemType { return api.ProblemTypes() }

// ErrorsDocument is docs/errors.md: every error that a client can be told of, in Markdown.
func ErrorsDocument() string {
	var b strings.Builder
	b.WriteString(errorsPreface)
	for _, k := range freshet.FaultKinds() {
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s |\n", k.Code, k.Category, k.Title, cell(k.Meaning)+".", cell(k.Remedy)+".")
	}
	b.WriteString(problemsPreface)
	for _, p := range ProblemTypes() {
		fmt.Fprintf(&b, "\n### %s\n%d, %s. %s\n", p.Slug, p.Status, p.Title, p.Meaning)
	}
	return b.String()
}

const errorsPreface = `<!-- Made by make docs from fault.go and internal/api/errors.md; change it there. -->
# Errors

What can go wrong, as clients are told, and what to do about it. A server tells the same at ` + "`/v1/errors`" + `, and ` + "`/v1/errors/{code}`" + ` of one; ` + "`freshet errors`" + ` in the terminal.

## In a stream
An ` + "`error`" + ` event, or message, is ` + "`{\"datetime\",\"subscriptionId\",\"code\",\"category\",\"message\"}`" + `; ` + "`subscriptionId`" + ` is there where the stream is that of a stored subscription. It does not end the stream unless the table says so. The code is for programs, the message for people: it says what happened this time. The status of a topic has the last fault too, until it is over.

| code | category | title | what it means | what to do |
|---|---|---|---|---|
`

const problemsPreface = `
Categories: ` + "`subscription`" + `, what a client asks for; ` + "`server`" + `, Freshet itself; ` + "`topic`" + `, the topic as such; ` + "`publication`" + `, the way from upstream to the topic, or a payload that is posted.

## In an answer
Every answer that is not 2xx or 3xx is ` + "`application/problem+json`" + ` (RFC 9457). The last part of its ` + "`type`" + ` is one of the headings below; a server explains each at ` + "`/errors/{slug}`" + `. ` + "`detail`" + ` says what went wrong this time, ` + "`errors`" + ` lists every mistake in a document that was sent, each with its JSON Pointer, and ` + "`code`" + ` is one of those above where a source or a payload is at fault.
A problem of the type ` + "`about:blank`" + ` with status 500 is a defect of Freshet's: the server's log has the cause.
`
