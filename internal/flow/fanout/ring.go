package fanout

import (
	"slices"

	"freshet"
)

// How much of the history a feed keeps in memory.
const (
	ringEntries = 2048
	ringBytes   = 1 << 20 // or four times the document or the message, where that is more
	entryBytes  = 256     // of an entry beside its data and the form in which it is sent, which is as large
	docEvery    = 64      // entries between two that hold their document
)

// A ring is the last part of a topic's history. Its first entry is an anchor: the position that the
// others follow. Some entries hold the document after them, the anchor always, so that the document at
// any entry can be rebuilt from a few patches.
type ring struct {
	entries  []*Entry
	bytes    int // data and documents held
	docBytes int // bytes of patches since the last entry that holds its document
	docCount int // and how many they are
}

func (r *ring) start(anchor *Entry) {
	*r = ring{entries: []*Entry{anchor}, bytes: anchor.weight()}
}

// add appends an event, after which the document is current's.
func (r *ring) add(e, current *Entry) {
	r.entries = append(r.entries, e)
	r.bytes += e.weight()
	r.docBytes += len(e.Data)
	r.docCount++
	limit := max(ringBytes, 8*len(e.Data)) // a live reader is never out of it for one large event
	if current != nil && current.Type == freshet.TypeSnapshot {
		limit = max(limit, 8*len(current.Data))
		if e.Type == freshet.TypeSnapshot || r.docBytes >= len(current.Data) || r.docCount >= docEvery {
			r.hold(e, current.Data)
		}
	}
	for len(r.entries) > ringEntries || r.bytes > limit && len(r.entries) > 1 {
		r.evict(current)
	}
}

func (e *Entry) weight() int { return 2*len(e.Data) + entryBytes }

func (r *ring) hold(e *Entry, doc []byte) {
	e.doc = doc
	if e.Type != freshet.TypeSnapshot { // there the document is the data
		r.bytes += len(doc)
	}
	r.docBytes, r.docCount = 0, 0
}

// evict drops the oldest entries up to the next that can be an anchor.
func (r *ring) evict(current *Entry) {
	cut := 1
	if current != nil && current.Type == freshet.TypeSnapshot {
		next := slices.IndexFunc(r.entries[1:], func(e *Entry) bool { return e.doc != nil })
		if next < 0 {
			next = len(r.entries) - 2
			r.hold(r.entries[next+1], current.Data)
		}
		cut = next + 1
	}
	for _, e := range r.entries[:cut] {
		r.bytes -= e.weight()
		if e.doc != nil && e.Type != freshet.TypeSnapshot {
			r.bytes -= len(e.doc)
		}
	}
	r.entries = slices.Delete(r.entries, 0, cut)
}

// find is the index of the entry at exactly that position, or -1.
func (r *ring) find(p freshet.Position) int {
	i, ok := slices.BinarySearchFunc(r.entries, p.Sequence, func(e *Entry, seq uint64) int {
		switch {
		case e.Sequence < seq:
			return -1
		case e.Sequence > seq:
			return 1
		}
		return 0
	})
	if ok && r.entries[i].Position == p {
		return i
	}
	return -1
}

// rebuild is the document at or before the entry at an index, and the patches that lead from it to the
// document after that entry. Nil: there is none.
func (r *ring) rebuild(at int) (doc []byte, patches [][]byte) {
	for ; at >= 0; at-- {
		e := r.entries[at]
		if e.doc != nil {
			slices.Reverse(patches)
			return e.doc, patches
		}
		if e.Type == freshet.TypePatch {
			patches = append(patches, e.Data)
		}
	}
	return nil, nil
}
