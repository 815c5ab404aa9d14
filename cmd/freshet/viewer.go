package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"freshet"
	"freshet/client"
	"freshet/jsonpatch"
)

// A viewer shows the changes of any number of topics.
type viewer struct {
	cli   *cli
	flags subFlags

	mu    sync.Mutex // guards the rest, and keeps what belongs together in one piece
	stats struct{ events, received, full int }
}

// show shows one update. It returns errEnough once as many came as were asked for.
func (v *viewer) show(topic string, u client.Update) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.flags.count > 0 && v.stats.events >= v.flags.count {
		return errEnough
	}
	v.stats.events++
	v.stats.received += u.Bytes
	switch u.Type {
	case freshet.TypeSnapshot, freshet.TypePatch, freshet.TypeMergePatch, freshet.TypeChanges:
		v.stats.full += len(u.Doc)
	case freshet.TypeEvent:
		v.stats.full += len(u.Data)
	}
	if err := v.write(topic, u); err != nil {
		return err
	}
	if v.stats.events == v.flags.count {
		return errEnough
	}
	return nil
}

func (v *viewer) write(topic string, u client.Update) error {
	switch {
	case v.flags.raw:
		return nil // the copy of the stream is there already
	case v.cli.json:
		return v.json(topic, u)
	case v.flags.doc && u.Type != freshet.TypeError && u.Type != freshet.TypeRecovered && u.Type != freshet.TypeStatus:
		return v.cli.writeDocument(bodyOf(u))
	}
	return v.human(topic, u)
}

func bodyOf(u client.Update) []byte {
	if u.Doc != nil {
		return u.Doc
	}
	return u.Data
}

// json writes the update as the history has it, with the topic and what the client knows of it.
// In a patch each operation has its old value besides.
func (v *viewer) json(topic string, u client.Update) error {
	line := struct {
		Topic    string            `json:"topic"`
		ID       string            `json:"id"`
		Type     freshet.EventType `json:"type"`
		Revision freshet.Revision  `json:"revision"`
		Time     time.Time         `json:"time"`
		Bytes    int               `json:"bytes"`
		Reset    string            `json:"reset,omitempty"`
		Data     any               `json:"data"`
	}{topic, u.ID, u.Type, u.Revision, u.Time, u.Bytes, u.Reset, json.RawMessage(u.Data)}
	if u.Type == freshet.TypePatch {
		changes, err := u.Changes()
		if err != nil {
			return err
		}
		line.Data = changes
	}
	return v.cli.writeJSON(line)
}

// human writes a line about the update and one for each operation.
func (v *viewer) human(topic string, u client.Update) error {
	out := v.cli.out
	var b strings.Builder
	head := fmt.Sprintf("%s  %s  %s  ", u.Time.Local().Format("15:04:05.000"), out.style(bold, printable(topic)), out.style(dim, fmt.Sprintf("#%d", u.Revision)))
	changes, err := u.Changes()
	if err != nil {
		return err
	}
	changes = expand(changes)
	switch u.Type {
	case freshet.TypeError:
		b.WriteString(head + out.style(red, printable(fmt.Sprintf("error %d %s", u.Fault.Code, u.Fault.Message))) + "\n")
	case freshet.TypeStatus:
		b.WriteString(head + v.freshness(u.Freshness) + "\n")
	case freshet.TypeRecovered:
		b.WriteString(head + out.style(green, "the source works again") + "\n")
	case freshet.TypeEvent:
		plain := fmt.Sprintf("%s  %s  #%d  event  ", "15:04:05.000", topic, u.Revision)
		b.WriteString(head + "event  " + shorten(printable(string(u.Data)), out.width()-utf8.RuneCountInString(plain)) + "\n")
	case freshet.TypeSnapshot:
		about := contents(u.Doc)
		if len(changes) > 0 && u.Reset == "" {
			about = plural(len(changes), "change") + "  "
		}
		b.WriteString(head + "snapshot  " + about + size(len(u.Doc)) + v.snapshotNote(u) + "\n")
	case freshet.TypePatch, freshet.TypeMergePatch, freshet.TypeChanges:
		b.WriteString(head + plural(len(changes), "change") + "  " + size(u.Bytes) + "\n")
	}
	b.WriteString(v.operations(changes))
	_, err = out.Write([]byte(b.String()))
	return err
}

// smaller is why a change comes as a whole document: small ones often do.
const smaller = "smaller as a whole"

// snapshotNote says why the document came as a whole, where it was known before.
func (v *viewer) snapshotNote(u client.Update) string {
	if u.Reset != "" {
		return "  " + v.cli.out.style(yellow, "reset: "+printable(u.Reset))
	}
	if u.Before == nil {
		return ""
	}
	if patch, err := jsonpatch.Diff(u.Before, u.Doc); err != nil || len(patch) < len(u.Doc) {
		return "" // the mode is snapshot-only, or has no other words for it
	}
	return "  " + v.cli.out.style(dim, smaller)
}

// contents says how many items or members a document has, if any.
func contents(doc []byte) string {
	var items []json.RawMessage
	if json.Unmarshal(doc, &items) == nil && items != nil {
		return plural(len(items), "item") + "  "
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(doc, &members) == nil && members != nil {
		return plural(len(members), "member") + "  "
	}
	return ""
}

// operations writes a line for each change, the paths as wide as the widest that is not too wide.
func (v *viewer) operations(changes []client.Change) string {
	out := v.cli.out
	width, column := out.width(), 0
	for _, c := range changes {
		if n := utf8.RuneCountInString(printable(c.Path)); n <= width/3 {
			column = max(column, n)
		}
	}
	var b strings.Builder
	for _, c := range changes {
		path := pad(shorten(printable(whole(c.Path)), width/2), column)
		room := max(width-utf8.RuneCountInString(path)-6, 10)
		value, old := printable(string(c.Value)), printable(string(c.Old))
		switch c.Op {
		case "add":
			b.WriteString("  " + out.style(green, "+ "+path+"  "+shorten(value, room)) + "\n")
		case "remove":
			b.WriteString("  " + out.style(red, strings.TrimRight("- "+path+"  "+shorten(old, room), " ")) + "\n")
		case "replace":
			if c.Old == nil {
				old = "…"
			}
			old = shorten(old, max((room-3)/2, room-3-utf8.RuneCountInString(value)))
			value = shorten(value, room-3-utf8.RuneCountInString(old))
			b.WriteString("  " + out.style(yellow, "~ "+path) + "  " + old + " → " + out.style(bold, value) + "\n")
		case "move", "copy":
			from := shorten(printable(whole(c.From)), width/2)
			b.WriteString("  " + out.style(cyan, "> "+from+" → "+strings.TrimRight(path, " ")))
			if c.Op == "copy" {
				b.WriteString("  (copied)")
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// whole is a pointer as people see it: that of the whole document is empty.
func whole(pointer string) string {
	if pointer == "" {
		return "(all)"
	}
	return pointer
}

// note tells of something that is no event.
func (v *viewer) note(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.cli.err.printf("%s\n", v.cli.err.style(dim, "freshet: "+printable(text)))
}

// summary says what was received, and what whole documents would have been.
func (v *viewer) summary() {
	s, lead := v.stats, ""
	if v.cli.err.isTTY {
		lead = "\n" // after the terminal's ^C
	}
	text := fmt.Sprintf("%s · %s received", plural(s.events, "event"), size(s.received))
	if s.full > s.received {
		text += fmt.Sprintf(" instead of %s (%s)", size(s.full), saved(s.received, s.full))
	}
	v.cli.err.printf("%s%s\n", lead, text)
}

// writeDocument writes a document: for people on a terminal indented, else the bytes as they are, and
// the end of the line.
func (c *cli) writeDocument(doc []byte) error {
	_, err := c.out.Write(append(c.pretty(doc), '\n'))
	return err
}

func (c *cli) pretty(doc []byte) []byte {
	var b bytes.Buffer
	if !c.out.isTTY || json.Indent(&b, doc, "", "  ") != nil {
		return bytes.Clone(doc)
	}
	lines := strings.Split(b.String(), "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return []byte(strings.Join(lines, "\n"))
}

// freshness is a status in words.
func (v *viewer) freshness(f *freshet.Freshness) string {
	if f.Stale {
		return v.cli.out.style(red, printable("stale: "+f.StaleReason))
	}
	return v.cli.out.style(green, "fresh")
}
