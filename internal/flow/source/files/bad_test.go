package files_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"freshet"
	"freshet/internal/flow/source/files"
	"freshet/internal/freshettest"
)

// A shelf is a folder in memory, or one file, which counts how often it is looked at.
type shelf struct {
	folder bool

	mu     sync.Mutex
	texts  map[string]string
	stamp  string // of each file: a time, within which it may change again
	opened int
}

func (s *shelf) Folder(context.Context) (bool, error) { return s.folder, nil }

func (s *shelf) List(context.Context, string) (all []files.File, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.texts {
		all = append(all, s.file(name))
	}
	return all, nil
}

func (s *shelf) file(name string) files.File {
	return files.File{Name: name, Size: int64(len(s.texts[name])), Version: "v" + name + s.stamp}
}

func (s *shelf) Open(_ context.Context, name string, _ int64, have string) (*files.Opened, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened++
	f := s.file(name)
	if have != "" && have == f.Version {
		return nil, files.ErrSame
	}
	return &files.Opened{File: f, ReadCloser: io.NopCloser(strings.NewReader(s.texts[name]))}, nil
}

func (s *shelf) Close() {}

func (s *shelf) put(name, text, stamp string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts[name], s.stamp = text, stamp
}

func (s *shelf) looks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// read runs a reader until stop.
func read(t *testing.T, r *files.Reader) (to *freshettest.Sink, stop func()) {
	t.Helper()
	to = &freshettest.Sink{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, to) }()
	return to, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// A file at fault, of a folder whose list says that it is still the same, is not asked for again.
func TestBadObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{folder: true, texts: map[string]string{"a.json": `{"a":`, "b.json": `"b"`}}
		r := &files.Reader{
			Options: files.Options{Mode: "document", Format: "json", ReadFrom: "earliest", PollingPeriod: freshet.Duration(5 * time.Second)},
			Folder:  files.Folder{Order: "name"}, Env: freshettest.Env(t), Whole: true,
			Connect: func(context.Context) (files.Store, error) { return s, nil },
		}
		to, stop := read(t, r)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := to.Payloads(); s.looks() != 2 || len(to.Faults()) != 1 || !slices.Equal(got, []string{`"b"`}) {
			t.Errorf("opened %d times: %q, faults %v", s.looks(), got, to.Faults())
		}
		s.put("a.json", `{"a":1}`, "2")
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if got := to.Payloads(); s.looks() != 3 || !slices.Contains(got, `{"a":1}`) {
			t.Errorf("after a change opened %d times: %q", s.looks(), got)
		}
		stop()
	})
}

// A document that is at fault is looked at as often as one that is well, is told of once, and is read again when it
// has changed, also within the time that its version cannot tell apart.
func TestBadDocument(t *testing.T) {
	for name, folder := range map[string]bool{"": false, "b.json": true} {
		synctest.Test(t, func(t *testing.T) {
			s := &shelf{folder: folder, texts: map[string]string{name: `{"a":`}}
			if folder {
				s.texts["c.json"] = `"c"`
			}
			r := &files.Reader{
				Options: files.Options{Mode: "document", Format: "json", ReadFrom: "earliest", PollingPeriod: freshet.Duration(5 * time.Second), Settle: freshet.Duration(2 * time.Second)},
				Folder:  files.Folder{Order: "name"}, Env: freshettest.Env(t),
				Connect: func(context.Context) (files.Store, error) { return s, nil },
			}
			to, stop := read(t, r)
			time.Sleep(time.Minute)
			synctest.Wait()
			if faults := to.Faults(); s.looks() > 2*(60/5+4) || len(faults) != 1 || faults[0].Code != freshet.FaultFormat || !strings.HasPrefix(faults[0].Message, name) {
				t.Errorf("%q: opened %d times, %v", name, s.looks(), faults)
			}
			s.put(name, `{"a":"x`, "2")
			time.Sleep(6 * time.Second) // seen, and told of
			s.put(name, `{"a":2}`, "2") // of the same stamp
			time.Sleep(20 * time.Second)
			synctest.Wait()
			if got := to.Payloads(); !slices.Contains(got, `{"a":2}`) {
				t.Errorf("%q: %q, faults %v", name, got, to.Faults())
			}
			stop()
		})
	}
}
