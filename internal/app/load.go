package app

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"freshet"
	"freshet/internal/strict"
)

// maxFile bounds a configuration file, in bytes. 10 000 topics take a third of it.
const maxFile = 16 << 20

// Load reads a configuration: the YAML file at path, none where that is empty, and over it the
// FRESHET_* variables of env, which holds NAME=value as os.Environ does. What is wrong with what they
// say is an error of the type Mistakes, with everything at once.
func Load(path string, env []string) (Config, error) {
	var c Config
	vars := variablesOf(env)
	var inFile Mistakes
	var doc *document
	if path != "" {
		text, err := readFile(path)
		if err != nil {
			return Config{}, err
		}
		doc = readYAML(text, vars.lookup)
		inFile = doc.into(&c, path)
	}
	set, inEnv := vars.into(&c)
	// What the environment sets counts instead of what the file says there.
	inFile = slices.DeleteFunc(inFile, func(m Mistake) bool { return set.covers(m.pointer) != "" })
	if len(set) > 0 {
		for _, m := range set.wrong(c.invalid()) {
			// What could not be read has no value that could be judged.
			if !slices.ContainsFunc(inEnv, func(o Mistake) bool { return o.Where == m.Where }) {
				inEnv = append(inEnv, m)
			}
		}
		slices.SortStableFunc(inEnv, func(a, b Mistake) int { return cmp.Compare(a.Where, b.Where) })
	}
	if all := append(inFile, inEnv...); len(all) > 0 {
		return Config{}, all
	}
	return c, nil
}

// Mistakes are everything that is wrong with a configuration.
type Mistakes []Mistake

// A Mistake is one of them.
type Mistake struct {
	Where   string // file:line:column, or the name of a variable; empty where neither is known
	At      string // the path of the setting, such as topics/0/source
	Detail  string // what is wrong, and what would be right
	Excerpt string // the line of the file, and below it a caret at the column

	quiet        string // Detail where it must not repeat what the file says; empty where it does not
	pointer      string
	line, column int
}

// mostShown bounds the mistakes that are shown. Of many most are the same one, repeated.
const mostShown = 20

func (m Mistakes) Error() string {
	var all []string
	for _, one := range m[:min(len(m), mostShown)] {
		all = append(all, one.String())
	}
	switch more := len(m) - mostShown; {
	case more == 1:
		all = append(all, "and one more mistake")
	case more > 1:
		all = append(all, fmt.Sprintf("and %d more mistakes", more))
	}
	return strings.Join(all, "\n")
}

func (m Mistake) String() string {
	var parts []string
	for _, s := range []string{m.Where, m.At, m.Detail} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	text := strings.Join(parts, ": ")
	if m.Excerpt != "" {
		text += "\n" + m.Excerpt
	}
	return text
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the caller names its own configuration file
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no configuration file %s", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("the configuration file %s is larger than %s", path, freshet.Bytes(maxFile))
	}
	return bytes.TrimPrefix(text, []byte("\ufeff")), nil
}

// into decodes the document, of the file at path, into c and returns what is wrong with it, from top to
// bottom. Paths in it are relative to its folder, but for that of the data.
func (d *document) into(c *Config, path string) Mistakes {
	all := d.mistakes
	if d.json != nil {
		decoded := strict.Decode(d.json, c)
		c.TLS.below(filepath.Dir(path))
		for _, e := range strict.Merge(d.json, decoded, c.invalid()) {
			m := d.locate(e)
			// What could not be expanded has no value that could be judged.
			if !slices.ContainsFunc(d.mistakes, func(o Mistake) bool { return o.line == m.line && o.column == m.column }) {
				all = append(all, m)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
	for i := range all {
		all[i].Where = fmt.Sprintf("%s:%d:%d", filepath.Base(path), all[i].line, all[i].column)
		if i < 2*mostShown { // the environment may take some of them away
			all[i].Excerpt = d.excerpt(all[i].line, all[i].column)
		}
		if all[i].quiet != "" && d.hides(all[i].line) {
			all[i].Detail = all[i].quiet
		}
	}
	return all
}

// locate finds where in the file a mistake was made: at the name of a member that should not be there,
// at the value of any other, around what is missing.
func (d *document) locate(e freshet.FieldError) Mistake {
	d.find()
	m := Mistake{At: place(e), Detail: e.Detail, pointer: e.Pointer, line: 1, column: 1}
	if strings.HasPrefix(e.Detail, "must be a string, not a") && !strings.HasSuffix(e.Detail, "n object") && !strings.HasSuffix(e.Detail, "n array") {
		m.Detail += ": put it in quotes"
	}
	if strings.HasPrefix(e.Detail, `unknown member "subscriptions": `) || e.Pointer == "/subscriptions" && strings.HasSuffix(e.Detail, "not an array") {
		m.Detail, _, _ = strings.Cut(e.Detail, ": ")
		m.Detail += ": subscriptions are made over HTTP, POST /v1/topics/{topic}/subscriptions, or by freshet subscription create"
	}
	if at, ok := d.values[e.Pointer]; ok && !aboutName(e) {
		m.line, m.column = at.line, at.column
		return m
	}
	for pointer := e.Pointer; pointer != ""; pointer = pointer[:strings.LastIndexByte(pointer, '/')] {
		at, ok := d.names[pointer]
		if !ok {
			at, ok = d.values[pointer]
		}
		if ok {
			m.line, m.column = at.line, at.column
			break
		}
	}
	return m
}

// aboutName says whether a mistake is that the member is there at all.
func aboutName(e freshet.FieldError) bool {
	return strings.HasPrefix(e.Detail, "unknown member ") || strings.HasPrefix(e.Detail, "duplicate member ")
}

// place is the path of what a mistake is about, for people.
func place(e freshet.FieldError) string {
	pointer := e.Pointer
	if aboutName(e) {
		pointer = pointer[:strings.LastIndexByte(pointer, '/')] // the detail names the member
	}
	return strings.TrimPrefix(pointer, "/")
}
