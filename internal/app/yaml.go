package app

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"freshet/internal/strict"
)

// A document is a YAML file as JSON, and where in the file each of its values is.
type document struct {
	text     []byte
	json     []byte // nil where the file is no YAML
	mistakes Mistakes

	root   *yamlNode
	names  map[string]position // by pointer; both are filled by find
	values map[string]position
	hidden map[int]bool // lines that are not to be printed; filled by hides
}

// find notes where everything is. It takes its time with a large file, and most files have no mistake.
func (d *document) find() {
	if d.values == nil {
		d.names, d.values = map[string]position{}, map[string]position{}
		d.findBelow(d.root, nil)
	}
}

func (d *document) findBelow(n *yamlNode, pointer []byte) {
	d.values[string(pointer)] = n.at
	for i, v := range n.values {
		below := append(pointer, '/')
		if n.kind == yamlList {
			below = strconv.AppendInt(below, int64(i), 10)
		} else {
			below = append(below, strings.NewReplacer("~", "~0", "/", "~1").Replace(n.names[i].text)...)
			d.names[string(below)] = n.names[i].at
		}
		d.findBelow(v, below)
	}
}

// A position is a line and a column in characters, both from 1.
type position struct{ line, column int }

func (p position) compare(other position) int {
	return cmp.Or(cmp.Compare(p.line, other.line), cmp.Compare(p.column, other.column))
}

// maxNodes bounds what aliases can blow a small file up to.
const maxNodes = 1_000_000

// readYAML turns text into a document, with the aliases and merge keys resolved and the references to
// variables expanded.
func readYAML(text []byte, lookup func(string) (string, bool)) *document {
	d := &document{text: text}
	if at := invalidUTF8(text); at < len(text) { // which the parser would replace without a word
		line, column := strict.Position(text, at)
		d.mistakes = Mistakes{{Detail: "not valid UTF-8", line: line, column: column}}
		return d
	}
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey()) // which strict.Decode reports, all at once
	if err != nil {
		d.mistakes = Mistakes{syntaxMistake(err)}
		return d
	}
	t := converter{lookup: lookup, anchors: map[string]*yamlNode{}}
	var root *yamlNode
	for _, doc := range file.Docs {
		switch body := doc.Body.(type) {
		case nil, *ast.DirectiveNode:
			continue
		default:
			if root != nil {
				t.mistake(positionOf(body), "a second YAML document begins here: a configuration is one")
				break
			}
			root = t.convert(body)
		}
	}
	d.mistakes = t.mistakes
	if root == nil || root.json == "null" {
		root = &yamlNode{kind: yamlMap} // a file with nothing in it, or nothing but comments
	}
	if root.size(map[*yamlNode]int{}) > maxNodes {
		t.mistake(root.at, "the file has more than %d values, those that its aliases unfold to included", maxNodes)
		d.mistakes = t.mistakes
		return d
	}
	d.root, d.json = root, root.appendJSON(nil)
	return d
}

// invalidUTF8 is the offset of the first byte that is not UTF-8, or the length of the text.
func invalidUTF8(text []byte) int {
	at := 0
	for at < len(text) {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return at
}

func syntaxMistake(err error) Mistake {
	m := Mistake{Detail: err.Error(), line: 1, column: 1}
	if y, ok := errors.AsType[yaml.Error](err); ok {
		m.Detail = y.GetMessage()
		if t := y.GetToken(); t != nil && t.Position != nil {
			m.line, m.column = max(1, t.Position.Line), max(1, t.Position.Column)
		}
	}
	return m
}

// The kinds of yamlNode.
const (
	yamlScalar = iota
	yamlList
	yamlMap
)

// A yamlNode is a value without aliases, merge keys or variables. It may be in several places.
type yamlNode struct {
	kind   int
	json   string // of a scalar
	at     position
	names  []yamlName // of a map
	values []*yamlNode
}

type yamlName struct {
	text string
	at   position
}

// size is the number of values in a node, or some number above maxNodes. known holds those of the nodes
// that were counted before.
func (n *yamlNode) size(known map[*yamlNode]int) int {
	if sum, ok := known[n]; ok {
		return sum
	}
	sum := 1
	for _, v := range n.values {
		sum = min(sum+v.size(known), maxNodes+1)
	}
	known[n] = sum
	return sum
}

// A converter makes yamlNodes of a file from top to bottom. An anchor counts once its value is
// complete, so no value can contain itself.
type converter struct {
	lookup   func(string) (string, bool)
	anchors  map[string]*yamlNode
	mistakes Mistakes
}

func (t *converter) mistake(at position, format string, args ...any) {
	t.mistakes = append(t.mistakes, Mistake{Detail: fmt.Sprintf(format, args...), line: at.line, column: at.column})
}

// quote is a mistake that repeats what the file says, and how it is told where that may be a secret.
func (t *converter) quote(at position, detail, quiet string) {
	t.mistakes = append(t.mistakes, Mistake{Detail: detail, quiet: quiet, line: at.line, column: at.column})
}

func positionOf(n ast.Node) position { return tokenPosition(n.GetToken()) }

func tokenPosition(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{1, 1}
	}
	return position{max(1, t.Position.Line), max(1, t.Position.Column)}
}

func (t *converter) convert(n ast.Node) *yamlNode {
	if n == nil {
		return &yamlNode{json: "null", at: position{1, 1}}
	}
	at := positionOf(n)
	switch v := n.(type) {
	case *ast.MappingNode:
		return t.mapping(at, v.Values)
	case *ast.MappingValueNode:
		return t.mapping(at, []*ast.MappingValueNode{v})
	case *ast.SequenceNode:
		list := &yamlNode{kind: yamlList, at: at}
		for _, item := range v.Values {
			list.values = append(list.values, t.convert(item))
		}
		return list
	case *ast.AnchorNode:
		value := t.convert(v.Value)
		if v.Name != nil {
			t.anchors[v.Name.GetToken().Value] = value
		}
		return value
	case *ast.AliasNode:
		return t.alias(v)
	case *ast.TagNode:
		return t.tagged(v)
	}
	return t.scalar(n, at)
}

func (t *converter) alias(v *ast.AliasNode) *yamlNode {
	name := ""
	if v.Value != nil {
		name = v.Value.GetToken().Value
	}
	if value, ok := t.anchors[name]; ok {
		return value
	}
	t.quote(positionOf(v), "there is no anchor &"+name+" above", "there is no such anchor above; put a text that begins with * in quotes")
	return &yamlNode{json: "null", at: positionOf(v)}
}

// tagged reads a value with a tag, of which only !!str has a meaning here.
func (t *converter) tagged(v *ast.TagNode) *yamlNode {
	at := tokenPosition(v.Start)
	if v.Start.Value == "!!str" {
		switch value := v.Value.(type) {
		case *ast.LiteralNode:
			return t.text(value.Value.Value, at)
		case ast.ScalarNode:
			return t.text(value.GetToken().Value, at)
		}
	}
	t.quote(at, "the tag "+v.Start.Value+" has no meaning here", "this tag has no meaning here; put a text that begins with ! in quotes")
	return &yamlNode{json: "null", at: at}
}

func (t *converter) scalar(n ast.Node, at position) *yamlNode {
	literal := func(json string) *yamlNode { return &yamlNode{json: json, at: at} }
	switch v := n.(type) {
	case *ast.NullNode:
		return literal("null")
	case *ast.BoolNode:
		return literal(strconv.FormatBool(v.Value))
	case *ast.IntegerNode:
		return literal(fmt.Sprint(v.Value))
	case *ast.FloatNode:
		if spelling := v.Token.Value; isNumber(spelling) {
			return literal(spelling)
		}
		return literal(strconv.FormatFloat(v.Value, 'g', -1, 64))
	case *ast.StringNode:
		if v.Token.Type == token.StringType && isNumber(v.Value) { // such as 1e3, which the parser does not know
			return literal(v.Value)
		}
		return t.text(v.Value, at)
	case *ast.LiteralNode:
		return t.text(v.Value.Value, at)
	}
	t.mistake(at, "%s is nothing that JSON can hold", strings.TrimSpace(n.GetToken().Value))
	return literal("null")
}

// isNumber says whether s is a number in JSON.
func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789+-.eE") == "" && json.Valid([]byte(s))
}

// text makes a string, in which the references to variables are expanded.
func (t *converter) text(s string, at position) *yamlNode {
	expanded, err := expand(s, t.lookup)
	if err != nil {
		t.mistake(at, "%s", err)
	}
	return &yamlNode{json: quote(expanded), at: at}
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""` // cannot be: every string can be marshalled
	}
	return string(b)
}

func (t *converter) mapping(at position, pairs []*ast.MappingValueNode) *yamlNode {
	m := &yamlNode{kind: yamlMap, at: at}
	var merged []*yamlNode
	for i, pair := range pairs {
		name := positionOf(pair.Key)
		if i == 0 && at.line >= name.line { // the parser has a block mapping begin at its first colon
			m.at = position{name.line, min(at.column, name.column)}
		}
		value := t.convert(pair.Value)
		switch key := pair.Key.(type) {
		case *ast.MergeKeyNode:
			merged = append(merged, t.mergeable(value, name)...)
			continue
		case ast.ScalarNode:
			m.names = append(m.names, yamlName{key.GetToken().Value, name})
			m.values = append(m.values, value)
		default:
			t.mistake(name, "a name must be a word or a text in quotes")
		}
	}
	// What a mapping says itself counts before what it takes over, and of that the first.
	for _, other := range merged {
		for i, name := range other.names {
			if !slices.ContainsFunc(m.names, func(n yamlName) bool { return n.text == name.text }) {
				m.names = append(m.names, name)
				m.values = append(m.values, other.values[i])
			}
		}
	}
	return m
}

// mergeable lists the mappings that the value of a merge key names.
func (t *converter) mergeable(value *yamlNode, at position) []*yamlNode {
	if value.kind == yamlMap {
		return []*yamlNode{value}
	}
	if value.kind == yamlList && !slices.ContainsFunc(value.values, func(v *yamlNode) bool { return v.kind != yamlMap }) {
		return value.values
	}
	t.mistake(at, "<< takes over a mapping or a list of mappings")
	return nil
}

// appendJSON writes the node to b.
func (n *yamlNode) appendJSON(b []byte) []byte {
	open, shut := byte('{'), byte('}')
	switch n.kind {
	case yamlScalar:
		return append(b, n.json...)
	case yamlList:
		open, shut = '[', ']'
	}
	b = append(b, open)
	for i, v := range n.values {
		if i > 0 {
			b = append(b, ',')
		}
		if n.kind == yamlMap {
			b = append(append(b, quote(n.names[i].text)...), ':')
		}
		b = v.appendJSON(b)
	}
	return append(b, shut)
}

// expand replaces ${NAME} and ${NAME:-otherwise} by what lookup finds, and $$ by a dollar. Any other
// dollar stays. It returns s itself with an error.
func expand(s string, lookup func(string) (string, bool)) (string, error) {
	var b strings.Builder
	for rest := s; ; {
		before, after, found := strings.Cut(rest, "$")
		b.WriteString(before)
		switch {
		case !found:
			return b.String(), nil
		case strings.HasPrefix(after, "$"):
			b.WriteByte('$')
			rest = after[1:]
		case strings.HasPrefix(after, "{"):
			reference, end, closed := strings.Cut(after[1:], "}")
			if !closed {
				return s, fmt.Errorf("${ is not closed; write $$ for a dollar")
			}
			name, otherwise, hasDefault := strings.Cut(reference, ":-")
			if !isVariable(name) {
				return s, errors.New("${…} does not hold the name of a variable; write $$ for a dollar") // nor is it repeated: it may be a piece of a password
			}
			value, ok := lookup(name)
			switch {
			case ok && (value != "" || !hasDefault):
				b.WriteString(value)
			case hasDefault:
				b.WriteString(otherwise)
			default:
				return s, fmt.Errorf("the environment variable %s is not set; ${%s:-otherwise} gives a default", name, name)
			}
			rest = end
		default:
			b.WriteByte('$')
			rest = after
		}
	}
}

func isVariable(name string) bool {
	return name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == "" && strings.IndexByte("0123456789", name[0]) < 0
}
