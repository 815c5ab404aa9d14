package sse

import (
	"bytes"
	"strconv"

	"freshet"
)

// encode writes an event as a block of the event stream format (WHATWG HTML, 9.2.5). The id comes last:
// clients that store it as soon as they read the line would lose an event that is cut in mid-data.
// data is one compact JSON value and so has no line breaks.
func encode(ev freshet.Event) []byte {
	b := make([]byte, 0, len("event: \ndata: \nid: \n\n")+len(ev.Type)+len(ev.Data)+64)
	b = append(b, "event: "...)
	b = append(b, ev.Type...)
	b = append(b, "\ndata: "...)
	b = append(b, oneLine(ev.Data)...)
	if ev.Sequence > 0 {
		b = append(b, "\nid: "...)
		b = append(b, ev.ID()...)
	}
	return append(b, "\n\n"...)
}

// oneLine writes the line separators of Unicode that are no line breaks of the event stream format as
// escapes: readers that split by their language's own idea of lines would cut the data there. In JSON
// they can only stand inside strings.
func oneLine(data []byte) []byte {
	if !bytes.Contains(data, []byte("\u2028")) && !bytes.Contains(data, []byte("\u2029")) && !bytes.Contains(data, []byte("\u0085")) {
		return data
	}
	data = bytes.ReplaceAll(data, []byte("\u2028"), []byte(`\u2028`))
	data = bytes.ReplaceAll(data, []byte("\u2029"), []byte(`\u2029`))
	return bytes.ReplaceAll(data, []byte("\u0085"), []byte(`\u0085`))
}

// preamble is what stands before the first event, inside its block: a block of its own without data
// is an empty event to several clients. With a reset, it says so in a comment.
func preamble(retryMillis int, reset string) []byte {
	b := strconv.AppendInt([]byte("retry: "), int64(retryMillis), 10)
	b = append(b, '\n')
	if reset != "" {
		b = append(b, ": reset "...)
		b = append(b, reset...)
		b = append(b, '\n')
	}
	return b
}

// The heartbeat is a comment line with no empty line after it, which would make an empty event in some
// clients.
const heartbeat = ":\n"

// gzipHeader starts a gzip stream (RFC 1952) whose deflate blocks follow: no name, no time, any system.
const gzipHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

// chunk is b as a chunk of the chunked transfer coding (RFC 9112, 7.1).
func chunk(b []byte) []byte {
	before, after := aroundChunk(len(b))
	c := append(make([]byte, 0, len(before)+len(b)+len(after)), before...)
	return append(append(c, b...), after...)
}

// aroundChunk is what stands around so many bytes in a chunk.
func aroundChunk(size int) (before, after string) {
	return strconv.FormatInt(int64(size), 16) + "\r\n", "\r\n"
}
