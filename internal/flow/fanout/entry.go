package fanout

import (
	"sync/atomic"

	"freshet"
)

// A Form is one way to encode an event for a transport. Each has a slot in every Entry.
type Form int

// The forms in use.
const (
	FormSSE                Form = iota // as a block of the event stream
	FormSSEDeflate                     // the same, compressed
	FormSSEChunk                       // the same as a chunk of an HTTP/1.1 answer
	FormSSEDeflateChunk                // the same, compressed, as a chunk
	FormSSENamed                       // a block that names its topic, without its id
	FormSSENamedDeflate                // the same, compressed
	FormLegacy                         // as a block in the words of Streamdata.io
	FormLegacyDeflate                  // the same, compressed
	FormLegacyChunk                    // the same as a chunk
	FormLegacyDeflateChunk             // the same, compressed, as a chunk
	FormSocket                         // as a WebSocket message
	FormSocketDeflate                  // the same, compressed
	FormSocketBinary                   // with its data in base64
	FormSocketNamed                    // as a WebSocket message that names its topic
	FormSocketNamedDeflate             // the same, compressed
	FormSocketNamedBinary              // the same with its data in base64, not compressed
	forms
)

// An Entry is an event as the followers of a feed share it: encoded at most once in each form, however
// many connections send it.
type Entry struct {
	freshet.Event

	doc    []byte // the document after the event; kept by some entries, so that others can be rebuilt
	frames [forms]atomic.Pointer[[]byte]
}

// Frame returns the event in a form; encode makes it the first time. Two callers that come at once may
// both encode; either result serves.
func (e *Entry) Frame(form Form, encode func(freshet.Event) []byte) []byte {
	if frame := e.frames[form].Load(); frame != nil {
		return *frame
	}
	frame := encode(e.Event)
	e.frames[form].Store(&frame)
	return frame
}

// changes says whether the event is a new revision of the topic.
func changes(e freshet.Event) bool {
	return e.Type == freshet.TypeSnapshot || e.Type == freshet.TypePatch || e.Type == freshet.TypeEvent
}
