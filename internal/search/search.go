// Package search finds among resources, topics and others, those of which an expression holds.
package search

import (
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"
)

// An Expression is a condition on resources of a type. Its grammar, in which AND binds tighter than OR:
//
//	search   = all { "OR" all }
//	all      = operand { "AND" operand }
//	operand  = "(" search ")" | property ":" value | property "!" value | property "?"
//	property = name { "." name }
//	value    = bare | '"' quoted '"'
//
// property:value holds where the property has the value, one of its values where it is in a list;
// property!value where it does not; property? where it is set. A * in a bare value is any text; in a
// quoted one \" is a quote and \\ a backslash. Every property but what is raw JSON can be named. AND and OR
// may be written in lower case. The zero Expression holds of everything.
type Expression struct {
	match condition
	named []string
}

// Matches says whether the expression holds of a resource, which v points to.
func (e Expression) Matches(v any) bool { return e.match == nil || e.match(reflect.ValueOf(v)) }

// Any says whether the expression says anything.
func (e Expression) Any() bool { return e.match != nil }

// Names says whether the expression looks at a property or at one below it.
func (e Expression) Names(property string) bool {
	for _, name := range e.named {
		if name == property || strings.HasPrefix(name, property+".") {
			return true
		}
	}
	return false
}

// Bounds of an expression, so that it costs little to read and to try on 10 000 topics.
const (
	maxSearch      = 4096 // bytes
	maxSearchDepth = 50   // parentheses in each other
)

// Parse reads an expression on resources of type T. An error says at which character, from 1, and what is wrong.
// alias gives other names of properties; nil: there are none.
func Parse[T any](s string, alias func(string) string) (Expression, error) {
	return parse(s, reflect.TypeFor[T](), alias)
}

func parse(s string, of reflect.Type, alias func(string) string) (Expression, error) {
	if len(s) > maxSearch {
		return Expression{}, fmt.Errorf("longer than %d bytes", maxSearch)
	}
	if alias == nil {
		alias = func(name string) string { return name }
	}
	p := searchParser{text: s, of: of, alias: alias}
	p.space()
	if p.text == p.text[:p.at] {
		return Expression{}, p.failed("empty, where a condition such as name:prices is required")
	}
	match, err := p.or(0)
	if err != nil {
		return Expression{}, err
	}
	if p.at < len(p.text) {
		return Expression{}, p.failed("AND or OR is missing before %s", p.next())
	}
	return Expression{match, p.named}, nil
}

type searchParser struct {
	text  string
	at    int
	of    reflect.Type
	alias func(string) string
	named []string
}

type condition = func(reflect.Value) bool

func (p *searchParser) failed(format string, args ...any) error {
	return p.failedAt(p.at, format, args...)
}

func (p *searchParser) failedAt(at int, format string, args ...any) error {
	return fmt.Errorf("at character %d: %s", 1+utf8.RuneCountInString(p.text[:at]), fmt.Sprintf(format, args...))
}

// next names what comes next, for an error.
func (p *searchParser) next() string {
	if p.at == len(p.text) {
		return "the end"
	}
	word, _, _ := strings.Cut(p.text[p.at:], " ")
	return fmt.Sprintf("%.40q", word)
}

func (p *searchParser) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

// keyword steps over the word if it comes next.
func (p *searchParser) keyword(word string) bool {
	end := p.at + len(word)
	if end > len(p.text) || !strings.EqualFold(p.text[p.at:end], word) {
		return false
	}
	if end < len(p.text) && strings.IndexByte(" \t\r\n(", p.text[end]) < 0 {
		return false
	}
	p.at = end
	p.space()
	return true
}

func (p *searchParser) or(depth int) (condition, error) {
	left, err := p.and(depth)
	for err == nil && p.keyword("OR") {
		a := left
		var b condition
		b, err = p.and(depth)
		left = func(t reflect.Value) bool { return a(t) || b(t) }
	}
	return left, err
}

func (p *searchParser) and(depth int) (condition, error) {
	left, err := p.operand(depth)
	for err == nil && p.keyword("AND") {
		a := left
		var b condition
		b, err = p.operand(depth)
		left = func(t reflect.Value) bool { return a(t) && b(t) }
	}
	return left, err
}

func (p *searchParser) operand(depth int) (condition, error) {
	if !strings.HasPrefix(p.text[p.at:], "(") {
		return p.comparison()
	}
	if depth == maxSearchDepth {
		return nil, p.failed("more than %d parentheses in each other", maxSearchDepth)
	}
	open := p.at
	p.at++
	p.space()
	inner, err := p.or(depth + 1)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(p.text[p.at:], ")") {
		if p.at < len(p.text) {
			return nil, p.failed("AND, OR or ) is missing before %s", p.next())
		}
		return nil, p.failedAt(open, "this parenthesis is not closed")
	}
	p.at++
	p.space()
	return inner, nil
}

func (p *searchParser) comparison() (condition, error) {
	start := p.at
	length := strings.IndexAny(p.text[p.at:], ":!?()\" \t\r\n")
	if length < 0 {
		length = len(p.text) - p.at
	}
	name := p.text[start : start+length]
	p.at += length
	if name == "" {
		return nil, p.failed("a property such as name is missing before %s", p.next())
	}
	var operator byte
	if p.at < len(p.text) {
		operator = p.text[p.at]
	}
	if operator != ':' && operator != '!' && operator != '?' {
		return nil, p.failed("%.100q must be followed by :value, !value or ?", name)
	}
	prop, err := propertyOf(p.of, p.alias(name), name)
	if err != nil {
		return nil, p.failedAt(start, "%s", err)
	}
	p.named = append(p.named, prop.name)
	p.at++
	if operator == '?' {
		p.space()
		return prop.set, nil
	}
	if prop.group != "" {
		return nil, p.failedAt(start, "%s has no value of its own: %s", name, prop.group)
	}
	equal, err := p.value(prop)
	if err != nil {
		return nil, err
	}
	p.space()
	if operator == '!' {
		return func(t reflect.Value) bool { return !prop.any(t, equal) }, nil
	}
	return func(t reflect.Value) bool { return prop.any(t, equal) }, nil
}

// value reads what a property is compared with.
func (p *searchParser) value(prop property) (equal func(string) bool, err error) {
	start := p.at
	if strings.HasPrefix(p.text[p.at:], `"`) {
		text, err := p.quoted()
		if err != nil {
			return nil, err
		}
		want := prop.normal(text)
		return func(s string) bool { return s == want }, nil
	}
	for p.at < len(p.text) && strings.IndexByte("()\" \t\r\n", p.text[p.at]) < 0 {
		p.at++
	}
	switch text := p.text[start:p.at]; {
	case text == "":
		return nil, p.failed(`a value is missing; write "" for an empty one`)
	case strings.Contains(text, "*"):
		return func(s string) bool { return wildcard(text, s) }, nil
	default:
		want := prop.normal(text)
		return func(s string) bool { return s == want }, nil
	}
}

func (p *searchParser) quoted() (string, error) {
	start := p.at
	var b strings.Builder
	for p.at++; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			return b.String(), nil
		case c == '\\' && p.at+1 < len(p.text):
			p.at++
			b.WriteByte(p.text[p.at])
		default:
			b.WriteByte(c)
		}
	}
	return "", p.failedAt(start, "this quote is not closed")
}

// wildcard matches s with a pattern in which each * is any text.
func wildcard(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	s, ok := strings.CutPrefix(s, parts[0])
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		if !ok {
			return false
		}
		_, s, ok = strings.Cut(s, part)
	}
	return ok && strings.HasSuffix(s, parts[last])
}
