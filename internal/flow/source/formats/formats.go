// Package formats turns what upstreams send into JSON, by mappings that docs/sources.md tells.
package formats

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"freshet/internal/settings"
)

// Options say what a format leaves open.
type Options struct {
	Delimiter string   `json:"delimiter" default:"," doc:"What is between the values of a CSV line: one character, such as ; or a tab"`
	Columns   []string `json:"columns" range:"0..1000" doc:"The names of a CSV's columns, where its first line does not hold them"`
	Arrays    []string `json:"arrays" range:"0..100" doc:"Names of XML elements that are always an array, however many of them there are"`
}

// Names are the formats that Parse knows.
const Names = "json,ndjson,csv,xml,feed"

// Notes tells the mappings, in Markdown.
const Notes = "**Formats.** `json` is taken as it is. `ndjson` becomes an array of its lines. `csv` (RFC 4180, in UTF-8, or in the charset that an answer names) becomes an array with an object for each line, whose members are texts with the names of the columns, which the first line holds. " +
	"`xml` becomes an object with a member for the outermost element. An element that has only text is that text; any other is an object with a member `@name` for each attribute, one for each element in it (an array where there are several, or where `arrays` says so), and `#text` for text between them; names are without their namespace's prefix. " +
	"`feed` is RSS 0.9 to 2.0, RDF, Atom or JSON Feed, and becomes one and the same object: `title`, `description`, `link`, `updated`, and `items` with `id`, `title`, `link`, `summary`, `content`, `published`, `updated`, `authors` and `categories`, each as far as it is there; times are as in RFC 3339."

// Check is what the tags cannot say.
func (o *Options) Check(v *settings.Verdict) {
	if r, size := utf8.DecodeRuneInString(o.Delimiter); size != len(o.Delimiter) || r == utf8.RuneError || r == '"' || r == '\r' || r == '\n' {
		v.Say("/delimiter", "must be one character, and neither a quote nor a line break")
	}
}

// CheckFor judges the options, which are at a pointer, of a format: those are refused that have no effect on it.
func (o *Options) CheckFor(v *settings.Verdict, at, format string) {
	for _, of := range []struct {
		name, format string
		given        bool
	}{
		{"delimiter", "csv", o.Delimiter != ","},
		{"columns", "csv", len(o.Columns) > 0},
		{"arrays", "xml", len(o.Arrays) > 0},
	} {
		if of.given && format != of.format {
			v.Say(at+"/"+of.name, "is of no use with format %.20s, but with %s", format, of.format)
		}
	}
}

// ErrSyntax says that data is not of its format. What is wrong may quote the data.
var ErrSyntax = errors.New("not of the format")

func syntax(format string, err error) error { return fmt.Errorf("%s: %w: %w", format, ErrSyntax, err) }

// Parse is data of a format as one JSON value. What is said to be JSON already is not looked at. The result
// may be several times as large as data: who bounds it looks at it.
func Parse(format string, data []byte, o Options) ([]byte, error) {
	switch format {
	case "", "json":
		return data, nil
	case "ndjson":
		return parseLines(data)
	case "csv":
		return parseCSV(data, o)
	case "xml":
		return parseXML(data, o)
	case "feed":
		return parseFeed(data)
	}
	return nil, fmt.Errorf("there is no format %q", format)
}

// parseLines makes an array of lines that each hold a value.
func parseLines(data []byte) ([]byte, error) {
	out := make([]byte, 1, len(data)+2)
	out[0] = '['
	n := 0
	for line := range bytes.Lines(data) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if !json.Valid(line) {
			return nil, syntax("ndjson", fmt.Errorf("line %d is no JSON value", n))
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, line...)
	}
	return append(out, ']'), nil
}

// parseCSV makes an object of each line.
func parseCSV(data []byte, o Options) ([]byte, error) {
	if !utf8.Valid(data) { // it would be taken with other characters in it
		return nil, syntax("csv", errors.New("it is not UTF-8"))
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	if o.Delimiter != "" {
		r.Comma, _ = utf8.DecodeRuneInString(o.Delimiter)
	}
	r.ReuseRecord = true
	r.FieldsPerRecord = len(o.Columns)
	names := o.Columns
	if len(names) == 0 {
		header, err := r.Read()
		if errors.Is(err, io.EOF) {
			return []byte("[]"), nil
		}
		if err != nil {
			return nil, syntax("csv", err)
		}
		names = append(names, header...)
	}
	keys, err := memberNames(names)
	if err != nil {
		return nil, syntax("csv", err)
	}
	out := []byte{'['}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return append(out, ']'), nil
		}
		if err != nil {
			return nil, syntax("csv", err)
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		for i, value := range record {
			out = append(out, keys[i]...)
			out = appendText(out, value)
		}
		out = append(out, '}')
	}
}

// memberNames are the columns as they stand before their values.
func memberNames(columns []string) ([][]byte, error) {
	seen := map[string]bool{}
	keys := make([][]byte, len(columns))
	for i, name := range columns {
		if seen[name] {
			return nil, fmt.Errorf("two columns are called %.60q", name)
		}
		seen[name] = true
		before := ","
		if i == 0 {
			before = "{"
		}
		keys[i] = append(appendText([]byte(before), name), ':')
	}
	return keys, nil
}

func appendText(out []byte, s string) []byte {
	if isPlain(s) {
		return append(append(append(out, '"'), s...), '"')
	}
	text, err := json.Marshal(s)
	if err != nil {
		return strconv.AppendQuote(out, "") // every text can be written
	}
	return append(out, text...)
}

// isPlain says whether a text is written in JSON as it is.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
