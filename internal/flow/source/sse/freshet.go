package sse

import (
	"encoding/json"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/jsonpatch"
)

// fromFreshet is the item of an event of Freshet's protocol. Events that it does not know say nothing.
func (s *stream) fromFreshet(e event) (*source.Item, error) {
	switch freshet.EventType(e.name) {
	case freshet.TypeSnapshot:
		if e.large {
			return s.outgrown(), nil
		}
		s.document, s.large = e.data, time.Time{}
		return s.payload(s.document, s.nowhere()), nil
	case freshet.TypePatch, freshet.TypeMergePatch, freshet.TypeChanges:
		return s.patched(e)
	case freshet.TypeEvent:
		if e.large {
			return tooLarge(s.limit), nil
		}
		return s.payload(e.data, s.mark(e.id)), nil
	case freshet.TypeError:
		f := reported(e.data)
		return &source.Item{Fault: &f}, nil
	case freshet.TypeRecovered:
		return &source.Item{Fine: true}, nil
	}
	return nil, nil //nolint:nilnil // nothing is to be handed over
}

// patched applies a patch to the document. While the document is too large to be kept there is none to
// patch; after a while it is asked for again, as it may have shrunk.
func (s *stream) patched(e event) (*source.Item, error) {
	if !s.large.IsZero() {
		if time.Since(s.large) > time.Minute {
			return nil, errAnew
		}
		return nil, nil //nolint:nilnil // it was told when it outgrew
	}
	if s.document == nil || e.large {
		return nil, errAnew
	}
	apply := jsonpatch.Apply
	switch freshet.EventType(e.name) { // which of them is sent is for the upstream to say
	case freshet.TypeMergePatch:
		apply = jsonpatch.ApplyMerge
	case freshet.TypeChanges:
		apply = jsonpatch.ApplyChanges
	}
	next, err := apply(s.document, e.data)
	if err != nil {
		return nil, errAnew
	}
	if len(next) > s.limit {
		return s.outgrown(), nil
	}
	s.document = next
	return s.payload(next, s.nowhere()), nil
}

// outgrown drops a document that is too large. Without it there is nothing to resume from.
func (s *stream) outgrown() *source.Item {
	s.document, s.large = nil, time.Now()
	return tooLarge(s.limit)
}

// reported is a fault that upstream tells of itself: its code where that is one of a source, in our words.
func reported(data []byte) freshet.Fault {
	var told freshet.Fault
	if json.Unmarshal(data, &told) != nil {
		return source.Faultf(freshet.FaultPublication, "upstream reports a fault")
	}
	if told.Code == freshet.FaultGap {
		return source.Faultf(freshet.FaultPublication, "upstream no longer keeps what came since the source was connected last: messages are missing")
	}
	if told.Code < freshet.FaultPublication || told.Code >= freshet.FaultPublication+1000 {
		return source.Faultf(freshet.FaultPublication, "upstream reports a fault of its own, with the code %d", told.Code)
	}
	return source.Faultf(told.Code, "upstream reports that its own source has a fault, with the code %d", told.Code)
}
