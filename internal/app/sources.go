package app

import (
	"fmt"
	"strings"

	"freshet"
	"freshet/internal/flow/source/all"
)

// SourceTypes are the types of source that topics may have.
func SourceTypes() []freshet.SourceType { return all.Kinds().Describe() }

// SourcesDocument is docs/sources.md: all types of source with all their options, in Markdown.
func SourcesDocument() string {
	var b strings.Builder
	b.WriteString(sourcesPreface)
	types := SourceTypes()
	for _, t := range types {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s |\n", t.Name, t.Name, t.Summary, feeds(t))
	}
	for _, t := range types {
		fmt.Fprintf(&b, "\n## %s\n%s\n", t.Name, t.Summary)
		if len(t.Options) > 0 {
			b.WriteString("\n| option | type | default | allowed | what it is |\n|---|---|---|---|---|\n")
		}
		for _, o := range t.Options {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", o.Name, o.Type, code(o.Default), allowed(o), cell(o.Summary)+".")
		}
		if t.Notes != "" {
			b.WriteString("\n" + strings.TrimSpace(t.Notes) + "\n")
		}
	}
	return b.String()
}

const sourcesPreface = `<!-- Made by make docs from the types in internal/flow/source; change it there. -->
# Sources

What feeds a topic: its ` + "`source.type`" + ` names one of the types below, and ` + "`source.config`" + ` holds the options of that type. A server tells the same at ` + "`/v1/sources`" + `, and ` + "`freshet sources`" + ` in the terminal.

Durations are written as in ISO 8601 (` + "`PT5S`" + `, ` + "`PT0.5S`" + `, ` + "`PT1H`" + `) or as ` + "`5s`" + `, ` + "`500ms`" + `, ` + "`1h`" + `; sizes as ` + "`1MiB`" + ` or a number of bytes. An option that is unknown, or out of its range, is refused with the name of the field.

Secrets are never shown again by any API, log or error: where they were, ` + "`***`" + ` stands, which on its way back in means the one that is stored. It does so only while every address in the configuration stays the same, and TLS stays on where it was: who changes where a secret goes has to know it. A secret, and the value of a header, can say where it is found instead:

| written as | is |
|---|---|
| ` + "`secret:NAME`" + ` | the one of that name in the server's configuration, ` + "`secrets.named`" + ` |
| ` + "`env:NAME`" + ` | an environment variable of the server, where ` + "`secrets.env`" + ` allows it |
| ` + "`file:PATH`" + ` | the content of a file, where ` + "`secrets.files`" + ` allows its folder; read anew for each use, so that it can be renewed |
| ` + "`plain:TEXT`" + ` | TEXT, for a secret that begins with one of these words |

| type | what it does | feeds |
|---|---|---|
`

func feeds(t freshet.SourceType) string {
	var kinds []string
	for _, k := range t.Feeds {
		kinds = append(kinds, string(k))
	}
	return strings.Join(kinds, ", ")
}

func allowed(o freshet.Option) string {
	var parts []string
	if o.Required {
		parts = append(parts, "required")
	}
	if len(o.OneOf) > 0 {
		parts = append(parts, code(strings.Join(o.OneOf, "`, `")))
	}
	if o.Least != "" {
		parts = append(parts, code(o.Least)+" to "+code(o.Most))
	}
	return strings.Join(parts, "; ")
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(s, "|", "\\|") + "`"
}

func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.TrimRight(s, "."), "|", "\\|"), "\n", " ")
}
