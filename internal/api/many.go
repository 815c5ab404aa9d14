package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"freshet"
	"freshet/internal/flow"
	"freshet/internal/flow/transport/sse"
)

// mostTopics bounds what one connection may follow; their positions make its event ids long.
const mostTopics = 100

// many answers with one stream of several topics. Browsers open only six connections to a host.
func (l *live) many(w http.ResponseWriter, r *http.Request, names []string) error {
	w.Header().Add("Vary", "Accept, Accept-Encoding")
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > mostTopics {
		return badParameter("topic", "%d topics are too many for one connection, which may follow %d", len(names), mostTopics)
	}
	if ask, err := negotiate(r); err != nil || ask.style != styleStream && r.Header.Get("Accept") != "*/*" && r.Header.Get("Accept") != "" {
		return errManyAccept
	}
	if err := checkParameters(r); err != nil {
		return err
	}
	members, leave, err := l.members(w, r, names)
	if err != nil {
		leave()
		leaveAll(members, err)
		return l.noStream(w, r, err)
	}
	if id := lastEventID(r); id != "" {
		resumed, err := l.resumeMany(r, members, id)
		if err != nil {
			leave()
			leaveAll(members, err)
			l.streams.Busy(w)
		}
		w.Header().Set("Freshet-Resumed", strconv.FormatBool(resumed))
	}
	following := make([]sse.Member, len(members))
	for i, m := range members {
		following[i] = m.Member
	}
	l.streams.ServeMany(w, r, following, wantsGzip(r), leave)
	return nil
}

// A member is a topic of a connection with several.
type member struct {
	sse.Member
	follower *flow.Follower // nil: there is no such topic any more
	mode     freshet.Mode
}

// members follows each of the topics. What it has of them when it fails is the caller's to leave; so is the
// connection's place among those that are open, which leave gives up. Who comes back, with an id, may name
// topics that are gone meanwhile, as long as one is left.
func (l *live) members(w http.ResponseWriter, r *http.Request, names []string) (all []member, leave func(), err error) {
	leave = func() {}
	var busiest freshet.TopicName
	most, missing := 0, error(nil)
	for _, name := range names {
		m, err := l.member(r, freshet.TopicName(name))
		if errors.Is(err, freshet.ErrNotFound) && lastEventID(r) != "" {
			missing = err
			all = append(all, member{Member: sse.Member{Topic: freshet.TopicName(name)}})
			continue
		}
		if err != nil {
			return all, leave, err
		}
		all = append(all, m)
		if n := m.follower.Subscribers(); n > most {
			busiest, most = m.Topic, n
		}
	}
	if most == 0 {
		return all, leave, missing
	}
	through, ok := l.gate.enter(w, r, busiest, most) // one connection, however many topics
	if !ok {
		return all, leave, freshet.ErrUnavailable
	}
	return all, through, nil
}

// member follows a topic from now on.
func (l *live) member(r *http.Request, name freshet.TopicName) (member, error) {
	if flow.IsAdHoc(name) { // followed by its URL and headers only: the name is no proof of knowing them
		return member{}, fmt.Errorf("%w: %s", freshet.ErrNotFound, name)
	}
	f, err := l.flow.Follow(name)
	if err != nil {
		return member{}, err
	}
	m := member{Member: sse.Member{Topic: f.Topic.Name, Reader: f}, follower: f}
	if m.mode, err = modeOf(f.Topic, queryMode(r)); err != nil {
		err = &told{err, fmt.Sprintf("topic %s: %s", name, err)}
	} else {
		err = f.Feed.Wait(r.Context())
	}
	if err != nil {
		f.Close()
		return member{}, err
	}
	m.Cursor, m.Status = start(r, f, m.mode), statusOf(r, f)
	return m, nil
}

// resumeMany puts the cursors where the client was in each topic, and says whether it could in all. A
// topic of which the client has nothing begins as for a new one; where its id is not ours it may have had
// something, and is told.
func (l *live) resumeMany(r *http.Request, members []member, id string) (_ bool, err error) {
	had, whole := sse.Positions(id)
	all := whole
	for i := range members {
		m := &members[i]
		at, ok := had[m.Topic]
		switch {
		case m.follower == nil:
			m.At = at
			continue
		case ok:
			m.At = at
		case whole:
			continue
		}
		var one bool
		if m.Cursor, one, err = resume(r.Context(), m.follower, m.mode, at); err != nil {
			return false, err
		}
		if !one {
			m.At = "" // it is no position; the client gets another with its next event
			all = false
		}
	}
	return all, nil
}

func leaveAll(members []member, cause error) {
	for _, m := range members {
		if m.follower != nil {
			m.follower.Left(cause)
		}
	}
}
