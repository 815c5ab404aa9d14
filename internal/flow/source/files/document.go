package files

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/formats"
)

// A version of a document.
type version struct {
	name   string    // "" before the first
	since  time.Time // when it was seen first
	file   File
	done   bool // it was handed over
	faulty bool // it will never be
	fault  freshet.Fault
	again  time.Time // when it is to be read again, as its time may be that of two changes; the zero Time: never
}

// due says whether a version that is there already is to be read again.
func (v *version) due(settle time.Duration, now time.Time) bool {
	if v.done || v.faulty {
		return !v.again.IsZero() && !v.again.After(now)
	}
	return now.Sub(v.since) >= settle
}

// document hands over the file where it is new.
func (s *session) document(ctx context.Context) error {
	v := &s.one
	data, err := s.whole(ctx, "", v)
	switch {
	case err != nil:
		return err
	case v.faulty:
		s.stands(ctx, v.fault, 0)
		return nil
	case data == nil:
		return nil
	}
	v.done = true
	m := mark{Where: s.mark.Where, Version: v.name, Content: digest(data)}
	if m.Content != s.mark.Content && !s.hand(ctx, source.Payload{Data: data, Time: time.Now(), Mark: m.String()}) {
		return context.Cause(ctx)
	}
	s.mark = m
	return nil
}

// folder hands over the files that are new.
func (s *session) folder(ctx context.Context) error {
	there, err := s.files(ctx)
	if err != nil {
		return err
	}
	if !s.begun && s.ReadFrom == latest {
		for _, f := range there {
			s.done.floor = max(s.done.floor, s.key(f))
		}
	}
	s.begun = true
	s.mark = s.done.into(s.mark)
	todo := s.done.left(&s.Folder, there)
	s.forget(todo)
	var batch []source.Payload
	size := 0
	for _, f := range todo {
		v := s.many[f.Name]
		if v == nil {
			v = &version{}
			s.many[f.Name] = v
		}
		if s.Whole && v.faulty && f.Version != "" && f.Version == v.name {
			continue // the list says that it is still the one that all is said of
		}
		data, err := s.whole(ctx, f.Name, v)
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			if !s.hand(ctx, batch...) {
				return context.Cause(ctx)
			}
			return err
		}
		if v.faulty && v.fault.Code != 0 {
			named := v.fault
			named.Message = fmt.Sprintf("%.200s: %s", f.Name, named.Message)
			s.passes(ctx, named) // once: it is not looked at again unless it changes
			v.fault = freshet.Fault{}
		}
		if v.faulty {
			continue
		}
		if data == nil {
			break // those after it wait
		}
		if !s.Whole {
			v.file.Name, f = f.Name, v.file // it may have changed since it was listed
		}
		s.done.add(&s.Folder, f)
		delete(s.many, f.Name)
		s.mark = s.done.into(s.mark)
		batch = append(batch, source.Payload{Data: data, Time: time.Now(), Mark: s.mark.String()})
		if size += len(data); len(batch) == batchLen || size >= batchSize {
			if !s.hand(ctx, batch...) {
				return context.Cause(ctx)
			}
			batch, size = nil, 0
		}
	}
	if !s.hand(ctx, batch...) {
		return context.Cause(ctx)
	}
	return nil
}

// forget forgets what is not to be read any more.
func (s *session) forget(todo []File) {
	for name := range s.many {
		if !slices.ContainsFunc(todo, func(f File) bool { return f.Name == name }) {
			delete(s.many, name)
		}
	}
}

// hand hands payloads over. It returns false when ctx has ended before.
func (s *session) hand(ctx context.Context, batch ...source.Payload) bool {
	return len(batch) == 0 || source.Offer(ctx, s.to, batch...)
}

// errGone says that a file which was there is not any more.
var errGone = errors.New("the file is gone")

// whole is the document that a file holds; nil where that is the version that there is already, or one that
// is not complete yet. v.faulty says that there will never be one.
func (s *session) whole(ctx context.Context, name string, v *version) ([]byte, error) {
	have := v.name
	if v.due(time.Duration(s.Settle), time.Now()) {
		have = ""
	}
	o, err := s.store.Open(ctx, name, 0, have)
	if errors.Is(err, ErrSame) {
		s.await(v)
		return nil, nil
	}
	if f, ok := errors.AsType[freshet.Fault](err); ok && name != "" {
		if f.Code == freshet.FaultHTTP+404 {
			return nil, errGone
		}
		if !v.faulty {
			*v = version{faulty: true, fault: f}
		}
		return nil, nil
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // it is the store's
	}
	data, err := io.ReadAll(io.LimitReader(o, s.limit+1))
	_ = o.Close()
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if int64(len(data)) < min(o.Size, s.limit) { // it was cut while it was read
		s.again(time.Now().Add(5 * afterChange))
		return nil, nil
	}
	id := o.Version
	if id == "" {
		id = "#" + digest(data)
	}
	if id != v.name {
		*v = version{name: id, since: time.Now()}
		if !s.Whole {
			v.again = v.since.Add(coarse)
		}
	} else if v.done || v.faulty {
		v.again = time.Time{}
	}
	v.file = o.File
	was, told := *v, v.faulty
	v.faulty = false
	if value := s.judge(data, v); value != nil || !v.faulty || !told {
		return value, nil
	}
	*v = was // as before, of which all is said
	return nil, nil
}

// judge is the document of a version, as whole returns it.
func (s *session) judge(data []byte, v *version) []byte {
	settled := time.Since(v.since) >= time.Duration(s.Settle)
	if int64(len(data)) > s.limit {
		v.faulty, v.fault = true, source.Faultf(freshet.FaultSize, "the file is larger than limits.payload, %v", freshet.Bytes(s.limit))
		return nil
	}
	value, err := formats.Parse(s.Format, data, s.FormatOptions)
	switch fits := err == nil && json.Valid(value); {
	case fits && int64(len(value)) > s.limit:
		v.faulty, v.fault = true, source.Faultf(freshet.FaultSize, "the file is larger than limits.payload as JSON, %v", freshet.Bytes(s.limit))
		return nil
	case fits && (settled || s.Order != byTime && s.complete(value)):
		s.await(v)
		return value
	case settled:
		v.faulty, v.fault = true, source.Faultf(freshet.FaultFormat, "the file is no complete %s", s.Format)
		return nil
	}
	s.await(v)
	return nil
}

// complete says whether a document cannot be the beginning of a longer one.
func (s *session) complete(value []byte) bool {
	if s.Format == "ndjson" || s.Format == asCSV {
		return false
	}
	for _, c := range value {
		switch c {
		case ' ', '\t', '\r', '\n':
		case '{', '[', '"':
			return true
		default:
			return false
		}
	}
	return false
}

// await lets the next look be when there is something to do about a version.
func (s *session) await(v *version) {
	switch {
	case v.done || v.faulty:
		if !v.again.IsZero() {
			s.again(v.again)
		}
	default:
		s.again(v.since.Add(time.Duration(s.Settle)))
	}
}
