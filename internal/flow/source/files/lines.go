package files

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/formats"
)

// How much is handed over at once.
const (
	batchLen  = 256
	batchSize = 1 << 20
)

// A cursor is where a source is in a file of lines.
type cursor struct {
	name    string // in its folder
	as      string // what it was renamed to, while that is read to its end
	id      string
	version string // as of the last look
	offset  int64  // behind the last line that was handed over
	moving  time.Time

	tailSum string // digest of the bytes before offset, at most near …
	tail    []byte // … and the bytes, once known
	headSum string // digest of the first bytes, of which there are first …
	first   int
	head    []byte // … and the bytes, once known
	looked  bool   // head was looked at

	columns []string // of CSV
	torn    bool     // the line that offset is in is not to be read

	rest    bool      // there is a line without a line break …
	restSum string    // … its digest
	since   time.Time // … when it was seen first
	bad     bool      // … and that was told of as a fault
}

// anew is the cursor at the beginning of another file of the same name.
func (c *cursor) anew() cursor { return cursor{name: c.name, looked: true} }

// near is how many bytes before the offset are known.
func (c *cursor) near() int64 { return min(c.offset, near) }

// opened is the name to open the file by.
func (c *cursor) opened() string { return cmp.Or(c.as, c.name) }

// fileOfLines reads what the one file has gained.
func (s *session) fileOfLines(ctx context.Context) error {
	if !s.begun && s.ReadFrom == latest {
		if err := s.skip(ctx); err != nil {
			return err
		}
	}
	s.begun = true
	_, err := s.gained(ctx)
	return err
}

// folderOfLines reads what the files of a folder have gained, one file after the other.
func (s *session) folderOfLines(ctx context.Context) error {
	there, err := s.files(ctx)
	if err != nil {
		return err
	}
	if !s.begun && s.ReadFrom == latest && len(there) > 0 {
		slices.SortFunc(there, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
		s.lines.name = there[len(there)-1].Name
		if len(there) > 1 {
			s.done.floor = there[len(there)-2].Name
		}
		if err := s.skip(ctx); err != nil {
			return err
		}
	}
	s.begun = true
	if s.lines.name != "" { // as if it were done, so that the others are left
		s.done.add(&s.Folder, File{Name: s.lines.name})
	}
	todo := s.done.left(&s.Folder, there)
	s.mark = s.done.into(s.mark)
	for {
		if s.lines.name != "" {
			drained, err := s.gained(ctx)
			if isGone(err) {
				drained, err = true, nil
			}
			if err != nil || !drained && (!s.lines.bad || len(todo) == 0) {
				return err
			}
		}
		if len(todo) == 0 {
			return nil
		}
		s.lines = cursor{name: todo[0].Name, looked: true}
		s.done.add(&s.Folder, todo[0])
		s.mark = s.done.into(s.mark)
		todo = todo[1:]
	}
}

func isGone(err error) bool {
	f, ok := errors.AsType[freshet.Fault](err)
	return ok && f.Code == freshet.FaultHTTP+404
}

// skip goes to the end of the file.
func (s *session) skip(ctx context.Context) error {
	c := &s.lines
	o, err := s.store.Open(ctx, c.name, 0, "")
	if isGone(err) {
		s.begun = true // all that it will have comes after
	}
	if err != nil {
		return err //nolint:wrapcheck // it is the store's
	}
	defer func() { _ = o.Close() }()
	*c = cursor{name: c.name, id: o.ID, looked: true}
	var data io.Reader = o
	if o.Size > near {
		end, err := s.store.Open(ctx, c.name, o.Size-near, "")
		if err != nil {
			return err //nolint:wrapcheck // it is the store's
		}
		defer func() { _ = end.Close() }()
		if c.columns, err = s.columns(o); err != nil {
			return err
		}
		c.offset, data = o.Size-near, end
	}
	all, err := io.ReadAll(data) // what is not at most near is a file of unknown size, or one that grows now
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if c.offset == 0 {
		c.columns, _ = s.columns(bytes.NewReader(all)) // which does not fail
	}
	c.moved(all, int64(len(all)))
	c.torn = len(all) > 0 && all[len(all)-1] != '\n'
	return nil
}

// gained hands over the lines that the file of the cursor has gained. It says whether there is nothing left:
// no line without a line break either.
func (s *session) gained(ctx context.Context) (drained bool, err error) {
	c := &s.lines
	have := c.version
	if c.rest && !c.bad && time.Since(c.since) >= time.Duration(s.Settle) {
		have = ""
	}
	o, err := s.resume(ctx, have)
	switch {
	case errors.Is(err, ErrSame):
	case isGone(err) && c.as != "":
		*c = c.anew()
		return s.gained(ctx)
	case err != nil:
		return false, err
	default:
		c.version, c.id = o.Version, o.ID
		err = s.readLines(ctx, o)
		_ = o.Close()
		if err != nil {
			return false, err
		}
	}
	if c.as != "" { // the file of that name is another already
		left := time.Until(c.moving.Add(time.Duration(s.Settle)))
		if left <= 0 && (!c.rest || c.bad) {
			*c = c.anew()
			return s.gained(ctx)
		}
		s.again(time.Now().Add(left))
	}
	switch {
	case c.bad:
		s.stands(ctx, source.Faultf(freshet.FaultFormat, "the last line is not complete"), 0)
	case c.rest:
		s.again(c.since.Add(time.Duration(s.Settle)))
	}
	return !c.rest, nil
}

// resume opens the file at the offset, or at its beginning where it is not the file that it was.
func (s *session) resume(ctx context.Context, have string) (*Opened, error) {
	c := &s.lines
	o, err := s.store.Open(ctx, c.opened(), c.offset-c.near(), have)
	if err != nil || c.offset == 0 && (c.id == "" || c.id == o.ID) {
		return o, err //nolint:wrapcheck // it is the store's
	}
	same, err := s.same(ctx, o)
	if err == nil && same {
		return o, nil
	}
	_ = o.Close()
	if err != nil {
		return nil, err
	}
	if f, ok := s.store.(Finder); ok && c.as == "" && c.name == "" && c.id != "" && c.id != o.ID {
		if old := f.Find(ctx, c.id); old != "" {
			c.as, c.moving = old, time.Now()
			return s.resume(ctx, "")
		}
	}
	s.log.InfoContext(ctx, "a file was replaced or has become shorter: it is read from its beginning")
	*c = c.anew()
	o, err = s.store.Open(ctx, c.name, 0, "")
	return o, err //nolint:wrapcheck // it is the store's
}

// same says whether a file is the one that the cursor is in, and reads up to the offset.
func (s *session) same(ctx context.Context, o *Opened) (bool, error) {
	c := &s.lines
	if o.ID != "" && c.id != "" && o.ID != c.id || o.Size >= 0 && o.Size < c.offset {
		return false, nil
	}
	tail := make([]byte, c.near())
	if n, err := io.ReadFull(o, tail); err != nil {
		if n < len(tail) && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
			return false, nil
		}
		return false, fmt.Errorf("read: %w", err)
	}
	if c.tail != nil && !bytes.Equal(tail, c.tail) || c.tail == nil && digest(tail) != c.tailSum {
		return false, nil
	}
	c.tail = tail
	if c.looked {
		return true, nil
	}
	head, columns, err := s.beginning(ctx)
	if err != nil || digest(head) != c.headSum {
		return false, err
	}
	c.looked, c.head, c.columns = true, head, columns
	return true, nil
}

// beginning are the first bytes of the file, as many as are known, and the columns of CSV.
func (s *session) beginning(ctx context.Context) (head []byte, columns []string, err error) {
	c := &s.lines
	o, err := s.store.Open(ctx, c.opened(), 0, "")
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // it is the store's
	}
	defer func() { _ = o.Close() }()
	head = make([]byte, c.first)
	n, err := io.ReadFull(o, head)
	if head = head[:n]; err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil, fmt.Errorf("read: %w", err)
	}
	columns, err = s.columns(io.MultiReader(bytes.NewReader(head), o))
	return head, columns, err
}

// columns are those that the first line of a CSV names, where it is to name them.
func (s *session) columns(r io.Reader) ([]string, error) {
	if s.Format != asCSV || len(s.FormatOptions.Columns) > 0 {
		return nil, nil
	}
	first, err := s.splitter(r).next()
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return s.header(first.data), nil
}

func (s *session) splitter(r io.Reader) *splitter {
	return newSplitter(r, s.Format == asCSV, s.FormatOptions.Delimiter, s.limit)
}

// readLines hands over the lines behind the offset; what is behind the last line break only where it has been
// so for long enough.
func (s *session) readLines(ctx context.Context, o io.Reader) error {
	c := &s.lines
	in := s.splitter(o)
	var batch []source.Payload
	size := 0
	flush := func() error {
		ok := s.hand(ctx, batch...)
		batch, size = nil, 0
		if !ok {
			return context.Cause(ctx)
		}
		return nil
	}
	c.rest, c.bad = false, false
	for {
		l, err := in.next()
		if err != nil {
			return errors.Join(flush(), fmt.Errorf("read: %w", err))
		}
		if l.size == 0 || !l.ended && len(bytes.TrimSpace(l.data)) == 0 {
			return flush()
		}
		payload, fault := s.payload(l)
		if !l.ended && !s.accept(l, fault == nil && json.Valid(payload)) {
			return flush()
		}
		c.moved(l.last, l.size)
		if fault != nil {
			if err := flush(); err != nil {
				return err
			}
			s.passes(ctx, *fault)
			continue
		}
		if payload == nil {
			continue
		}
		s.mark = c.into(s.mark)
		batch = append(batch, source.Payload{Data: payload, Time: time.Now(), Mark: s.mark.String()})
		if size += len(payload); len(batch) == batchLen || size >= batchSize {
			if err := flush(); err != nil {
				return err
			}
		}
	}
}

// accept says whether a line without a line break counts as complete.
func (s *session) accept(l line, fits bool) bool {
	c := &s.lines
	if sum := digest(l.data); sum != c.restSum {
		c.restSum, c.since = sum, time.Now()
	}
	settled := time.Since(c.since) >= time.Duration(s.Settle)
	c.rest, c.bad = !settled || !fits, settled && !fits
	if !c.rest {
		c.restSum = ""
	}
	return !c.rest
}

// payload is what a line holds; nil where that is none.
func (s *session) payload(l line) ([]byte, *freshet.Fault) {
	c := &s.lines
	data := bytes.TrimRight(l.data, "\r\n")
	switch {
	case c.torn:
		c.torn = !l.ended
		return nil, nil
	case l.tooLong || int64(len(data)) > s.limit:
		f := source.Faultf(freshet.FaultSize, "a line is larger than limits.payload, %v", freshet.Bytes(s.limit))
		return nil, &f
	case len(bytes.TrimSpace(data)) == 0:
		return nil, nil
	case s.Format != asCSV:
		if c.offset == 0 {
			data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
		}
		return data, nil
	}
	return s.record(data, l.ended)
}

// record is a record of CSV as an object. The first of a file may be its header.
func (s *session) record(data []byte, ended bool) ([]byte, *freshet.Fault) {
	c := &s.lines
	o := s.FormatOptions
	if len(o.Columns) == 0 && c.columns == nil {
		if ended {
			c.columns = s.header(data)
		}
		return nil, nil
	}
	if len(o.Columns) == 0 {
		o.Columns = c.columns
	}
	rows, err := formats.Parse(asCSV, data, o)
	if len(rows) > 2 && err == nil { // an array of one
		rows = rows[1 : len(rows)-1]
	} else {
		f := source.Faultf(freshet.FaultFormat, "a line has not the %d columns of the CSV, or quotes that are not closed", len(o.Columns))
		return nil, &f
	}
	if int64(len(rows)) > s.limit {
		f := source.Faultf(freshet.FaultSize, "a line is larger than limits.payload as JSON, %v", freshet.Bytes(s.limit))
		return nil, &f
	}
	return rows, nil
}

// header are the names that the first record of a CSV holds; none where it has none.
func (s *session) header(data []byte) []string {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	r.Comma, _ = utf8.DecodeRuneInString(cmp.Or(s.FormatOptions.Delimiter, ","))
	names, err := r.Read()
	if err != nil {
		return nil
	}
	return names
}

// moved moves the cursor over bytes of which these are the last.
func (c *cursor) moved(last []byte, n int64) {
	if len(c.head) < near && c.offset == int64(len(c.head)) && int64(len(last)) == n {
		c.head = append(c.head, last[:min(len(last), near-len(c.head))]...)
	}
	c.offset += n
	c.moving = time.Now()
	c.tail = append(c.tail[max(0, len(c.tail)-near):], last...)
	c.tail = bytes.Clone(c.tail[max(0, len(c.tail)-near):])
}

// into is a mark with the cursor as it is now.
func (c *cursor) into(m mark) mark {
	m.Name, m.ID, m.Offset, m.Tail, m.Head, m.First = c.name, c.id, c.offset, digest(c.tail), digest(c.head), len(c.head)
	return m
}
