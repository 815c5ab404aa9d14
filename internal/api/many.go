package api

import (
	"net/http"
	"slices"
	"strconv"

	"freshet"
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
	members, err := l.members(r, names)
	if err != nil {
		leaveAll(members, err)
		return l.unfollowable(w, r, err)
	}
	had := sse.Positions(lastEventID(r))
	if lastEventID(r) != "" {
		resumed, err := l.resumeMany(r, members, had)
		if err != nil {
			leaveAll(members, err)
			l.streams.Busy(w)
		}
		w.Header().Set("Freshet-Resumed", strconv.FormatBool(resumed))
	}
	following := make([]sse.Member, len(members))
	for i, m := range members {
		following[i] = m.Member
	}
	l.streams.ServeMany(w, r, following, had)
	return nil
}

// A member is a topic of a connection with several.
type member struct {
	sse.Member
	follower *streaming
	mode     freshet.Mode
}

// members follows each of the topics. What it has of them when it fails is the caller's to leave.
func (l *live) members(r *http.Request, names []string) (all []member, err error) {
	for i, name := range names {
		f, err := l.flow.Follow(freshet.TopicName(name))
		if err != nil {
			return all, err
		}
		leave := func() {}
		if i == 0 { // one connection, however many topics
			var ok bool
			if leave, ok = l.gate.enter(r, f.Subscribers()); !ok {
				f.Close()
				return all, freshet.ErrUnavailable
			}
		}
		s := &streaming{f, leave}
		all = append(all, member{Member: sse.Member{Topic: f.Topic.Name, Reader: s}, follower: s})
		m := &all[i]
		if m.mode, err = modeOf(f.Topic, queryMode(r)); err != nil {
			return all, err
		}
		if err := f.Feed.Wait(r.Context()); err != nil {
			return all, err
		}
		m.Cursor = f.Feed.Follow(m.mode)
	}
	return all, nil
}

// resumeMany puts the cursors where the client was in each topic, and says whether it could in all. A
// topic of which the client has nothing begins as for a new one.
func (l *live) resumeMany(r *http.Request, members []member, had map[freshet.TopicName]string) (resumed bool, err error) {
	resumed = len(had) > 0
	for i := range members {
		m := &members[i]
		id, ok := had[m.Topic]
		if !ok {
			continue
		}
		var one bool
		if m.Cursor, one, err = resume(r.Context(), m.follower.Follower, m.mode, id); err != nil {
			return false, err
		}
		if !one {
			delete(had, m.Topic) // it is no position; the client gets another with its next event
			resumed = false
		}
	}
	return resumed, nil
}

func leaveAll(members []member, cause error) {
	for _, m := range members {
		m.Reader.Left(cause)
	}
}
