package flow

import (
	"context"
	"fmt"
	"strings"
	"time"

	"freshet"
)

// adHocPrefix starts the names of ad-hoc topics; no configured topic's name has a colon.
const adHocPrefix = "adhoc:"

// AdHocName is the name of the ad-hoc topic of a URL, without its secrets, and of what tells it from
// others of the same URL.
func AdHocName(hostAndPath, identity string) freshet.TopicName {
	return freshet.TopicName(adHocPrefix + hostAndPath + "~" + string(tagOf([]byte(identity))) + string(tagOf([]byte(identity), []byte("2"))))
}

// FollowAdHoc follows a topic that exists as long as it is followed and a grace time longer, and makes
// it where it does not exist. freshet.ErrUnavailable: there are most of them already.
func (f *Flow) FollowAdHoc(c freshet.Topic, grace time.Duration, most int) (*Follower, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, ErrStopping
	}
	t, ok := f.topics[c.Name]
	if !ok {
		if n := f.adHocLocked(); n >= most {
			return nil, fmt.Errorf("%w: %d ad-hoc topics are followed already (adhoc.maxTopics)", freshet.ErrUnavailable, n)
		}
		src, err := f.NewSource(c)
		if err != nil {
			return nil, fmt.Errorf("ad-hoc topic: %w", err)
		}
		t = newTopic(f, c.Name, c.Kind)
		t.grace = grace
		t.configure(&c, src, 0)
		f.topics[c.Name] = t
	}
	return t.follow(), nil
}

func (f *Flow) adHocLocked() (n int) {
	for name := range f.topics {
		if IsAdHoc(name) {
			n++
		}
	}
	return n
}

// IsAdHoc says whether a topic was made by following a URL.
func IsAdHoc(name freshet.TopicName) bool { return strings.HasPrefix(string(name), adHocPrefix) }

// expire removes an ad-hoc topic that nobody has followed for its grace time.
func (f *Flow) expire(t *topic) {
	f.mu.Lock()
	t.mu.Lock()
	used := t.followers > 0 || t.removed || f.closed
	if !used {
		t.removed = true // nobody can follow it from here on: it is no longer listed when the locks open
		delete(f.topics, t.name)
	}
	t.mu.Unlock()
	f.mu.Unlock()
	if used {
		return
	}
	t.remove()
	f.stats.forget(t.name)
	ctx, cancel := context.WithTimeout(f.base, time.Minute)
	defer cancel()
	if err := f.Journal.Delete(ctx, t.id); err != nil && f.base.Err() == nil {
		t.log().Warn("the history of an ad-hoc topic was not deleted; the next start will", "err", err)
	}
}
