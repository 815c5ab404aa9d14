package app

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"freshet/internal/settings"
)

// excerpt shows a line of the file, with a caret below the column; nothing where the line may hold a
// secret.
func (d *document) excerpt(line, column int) string {
	lines := bytes.SplitN(d.text, []byte("\n"), line+1)
	if line > len(lines) || d.hides(line) {
		return ""
	}
	const longest = 200 // columns that a terminal may still show sensibly
	shown := []rune(strings.TrimRight(string(lines[line-1]), "\r"))
	if len(shown) == 0 || len(shown) > longest || column > len(shown)+1 {
		return ""
	}
	before := make([]rune, 0, column)
	for _, r := range shown[:column-1] {
		if r != '\t' { // a tab stays one, so that the caret is below its place
			r = ' '
		}
		before = append(before, r)
	}
	return fmt.Sprintf("%5d | %s\n      | %s^", line, string(shown), string(before))
}

// hides says whether a line, counted from 1, may hold a secret. It rather hides one too many.
func (d *document) hides(line int) bool {
	if d.hidden == nil {
		d.hidden = map[int]bool{}
		lines := strings.Split(string(d.text), "\n")
		for i, text := range lines {
			if looksSecret(text) {
				d.hidden[i+1] = true
			}
		}
		if d.root != nil {
			d.find()
			d.hideValues(d.root, false, lines, d.positions())
		} else if n := slices.IndexFunc(lines, looksSecret); n >= 0 {
			// Nobody knows where a text ends in what is no YAML: a secret may go on for lines.
			for i := n; i < len(lines); i++ {
				d.hidden[i+1] = true
			}
		}
	}
	return d.hidden[line]
}

// positions are where all names and values of the file are, in order.
func (d *document) positions() []position {
	var all []position
	for _, places := range []map[string]position{d.names, d.values} {
		for _, at := range places {
			all = append(all, at)
		}
	}
	slices.SortFunc(all, position.compare)
	return slices.Compact(all)
}

// hideValues hides the lines of each secret value in n: from its first to that of what comes next,
// where that does not begin its line.
func (d *document) hideValues(n *yamlNode, secret bool, lines []string, all []position) {
	if n.kind == yamlScalar {
		if !secret && !looksSecret(n.json) {
			return
		}
		at, found := slices.BinarySearchFunc(all, n.at, position.compare)
		if found {
			at++
		}
		end := len(lines)
		if at < len(all) {
			next := all[at]
			end = next.line
			if before := []rune(lines[next.line-1]); strings.Trim(string(before[:min(next.column-1, len(before))]), " \t-?") == "" {
				end--
			}
		}
		for line := n.at.line; line <= max(end, n.at.line); line++ {
			d.hidden[line] = true
		}
		return
	}
	for i, v := range n.values {
		d.hideValues(v, secret || n.kind == yamlMap && isSecretSetting(n.names[i].text), lines, all)
	}
}

// isSecretSetting says whether what a setting of this name holds is nothing to print.
func isSecretSetting(name string) bool {
	return strings.EqualFold(name, "headers") || name != "arrayKeys" && settings.IsSecretName(name)
}

// looksSecret says whether a text may hold a secret: by a word in it, or as it holds a URL with more than
// a host and a path.
func looksSecret(text string) bool {
	if _, rest, ok := strings.Cut(text, "://"); ok && strings.ContainsAny(rest, "@?#") {
		return true
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '-' })
	return slices.ContainsFunc(words, func(w string) bool { return isSecretSetting(w) || strings.EqualFold(w, "basic") })
}
