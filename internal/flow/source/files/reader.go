package files

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"path"
	"strings"
	"time"

	"freshet"
	"freshet/internal/flow/source"
)

// coarse is how far apart two changes may be that have the same time.
const coarse = 2 * time.Second

// afterChange is how long a change that was told of is left alone: it is seldom alone.
const afterChange = 20 * time.Millisecond

// A Reader is a source of what a store has.
type Reader struct {
	Options
	Folder
	Where string // tells these files from others, with all that says where they are
	Whole bool   // a file of the store changes as a whole, so none is ever half-written
	Env   source.Env
	// Connect opens the store.
	Connect func(ctx context.Context) (Store, error)

	limit int64
	log   *slog.Logger
	mark  mark
	known bool // mark was read
	begun bool // something was read, or readFrom was obeyed
	done  *ledger
	one   version             // of the document, where there is one file
	many  map[string]*version // of those of a folder that are not done
	lines cursor
	told  freshet.Fault // what stands
}

// Run reads until ctx ends.
func (r *Reader) Run(ctx context.Context, to source.Sink) error {
	r.limit = int64(cmp.Or(r.Env.Limit, freshet.DefaultPayload))
	r.log = cmp.Or(r.Env.Log, slog.New(slog.DiscardHandler))
	r.many = map[string]*version{}
	if r.Whole {
		r.Settle = 0
	}
	source.Stay(ctx, to, r.log, func(ctx context.Context, up func()) error {
		if err := r.begin(ctx, to); err != nil {
			return err
		}
		store, err := r.Connect(ctx)
		if err != nil {
			r.told = freshet.Fault{}
			return err
		}
		defer store.Close()
		return (&session{Reader: r, store: store, to: to}).run(ctx, up)
	})
	return nil
}

// begin goes to where the journal says that the source is.
func (r *Reader) begin(ctx context.Context, to source.Sink) error {
	if r.known {
		return nil
	}
	text, err := to.Mark(ctx)
	if err != nil {
		return err //nolint:wrapcheck // it is the sink's
	}
	r.mark = readMark(text, digest([]byte(strings.Join([]string{r.Where, r.Mode, r.Order, r.Pattern}, "\n"))))
	r.done = newLedger(r.mark.Floor, r.mark.Done)
	r.one = version{name: r.mark.Version, done: r.mark.Version != ""}
	if !r.Whole {
		r.one.again = time.Now() // it may have changed in the same moment in which it was read
	}
	r.lines = cursor{name: r.mark.Name, id: r.mark.ID, offset: r.mark.Offset, headSum: r.mark.Head, first: min(max(0, r.mark.First), near), tailSum: r.mark.Tail, looked: r.mark.Tail == ""}
	r.begun = r.mark != mark{Where: r.mark.Where}
	r.known = true
	return nil
}

// A session is what a Reader does with a store that it has connected to.
type session struct {
	*Reader
	store Store
	to    source.Sink
	wake  time.Time // when to look again at the latest
	fine  bool      // nothing is wrong, as far as the present look knows
}

// run looks for changes until the store fails, or ctx ends.
func (s *session) run(ctx context.Context, up func()) error {
	var changed <-chan struct{}
	if w, ok := s.store.(Watcher); ok {
		changed = w.Changed()
	}
	for isUp := false; ; {
		began := time.Now()
		s.wake, s.fine = began.Add(time.Duration(s.PollingPeriod)), true
		switch err := s.look(ctx); {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			if err = s.tell(ctx, err, began); err != nil {
				s.told = freshet.Fault{}
				return err
			}
		case s.fine && !isUp:
			s.told = freshet.Fault{}
			isUp = true
			up()
		case s.fine:
			s.told = freshet.Fault{}
			s.to.Unchanged(ctx, time.Now(), time.Since(began))
		}
		s.to.Planned(s.planned())
		timer := time.NewTimer(max(afterChange, time.Until(s.wake)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-changed:
			timer.Stop()
			if !source.Sleep(ctx, afterChange) {
				return nil
			}
		}
	}
}

// planned is when the next look will be: no sooner than the store may be asked.
func (s *session) planned() time.Time {
	if p, ok := s.store.(Paced); ok {
		if at := p.NotBefore(); at.After(s.wake) {
			return at
		}
	}
	return s.wake
}

// tell tells of a fault of a file, or of one that the store wants time for. It returns any other.
func (s *session) tell(ctx context.Context, err error, began time.Time) error {
	if later, ok := errors.AsType[*LaterError](err); ok {
		if later.Until.After(s.wake) {
			s.wake = later.Until
		}
		if later.Fault.Code != 0 {
			s.stands(ctx, later.Fault, time.Since(began))
		}
		return nil
	}
	if f, ok := errors.AsType[freshet.Fault](err); ok {
		s.stands(ctx, f, time.Since(began))
		return nil
	}
	return err
}

// stands tells of a fault once for as long as it stands.
func (s *session) stands(ctx context.Context, f freshet.Fault, took time.Duration) {
	s.fine = false
	if f.Code == s.told.Code && f.Message == s.told.Message {
		return
	}
	s.told = f
	s.to.Fault(ctx, f, took)
}

// passes tells of a fault of what is not read again.
func (s *session) passes(ctx context.Context, f freshet.Fault) {
	s.fine, s.told = false, freshet.Fault{}
	s.to.Fault(ctx, f, 0)
}

// again lets the next look be no later than at.
func (s *session) again(at time.Time) {
	if at.Before(s.wake) {
		s.wake = at
	}
}

// look reads what is new.
func (s *session) look(ctx context.Context) error {
	folder, err := s.store.Folder(ctx)
	switch {
	case err != nil:
		return err //nolint:wrapcheck // it is the store's
	case folder && s.Mode == lines:
		return s.folderOfLines(ctx)
	case folder:
		return s.folder(ctx)
	case s.Mode == lines:
		return s.fileOfLines(ctx)
	}
	return s.document(ctx)
}

// files are those of the folder that are to be read.
func (s *session) files(ctx context.Context) ([]File, error) {
	after := s.done.floor
	if s.Order == byTime {
		after = ""
	}
	there, err := s.store.List(ctx, after)
	if err != nil {
		return nil, err //nolint:wrapcheck // it is the store's
	}
	kept := there[:0]
	for _, f := range there {
		if s.wants(f.Name) {
			kept = append(kept, f)
		}
	}
	return kept, nil
}

func (s *session) wants(name string) bool {
	base := path.Base(name)
	if strings.HasPrefix(base, ".") {
		return false
	}
	match, err := path.Match(s.Pattern, base)
	return s.Pattern == "" || err == nil && match
}
