package flow

import (
	"net/http"

	"freshet"
	"freshet/internal/flow/source"
)

// hooked is a topic that takes webhooks, with its source; nil: it takes none, or there is no such topic.
func (f *Flow) hooked(name freshet.TopicName) (*topic, source.Hooked) {
	t, err := f.topic(name)
	if err != nil {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if h, ok := t.source.(source.Hooked); ok && h.HasHook() {
		return t, h
	}
	return nil, nil
}

// HasHook says whether the source of a topic takes webhooks by which its upstream tells of news.
func (f *Flow) HasHook(name freshet.TopicName) bool {
	t, _ := f.hooked(name)
	return t != nil
}

// Hook tells the source of a topic that its upstream has news, by a delivery that proves where it comes from,
// and returns the body of the answer; nil: none. ErrUnproven and ErrReplayed; freshet.ErrNotFound where the
// source takes none. That nobody follows the topic, so that nothing is polled, is no error: who sends would
// give up for good.
func (f *Flow) Hook(name freshet.TopicName, header http.Header, body []byte) (reply []byte, err error) {
	t, h := f.hooked(name)
	if t == nil {
		return nil, freshet.ErrNotFound
	}
	result := "accepted"
	if reply, err = h.Hook(source.Delivery{Header: header, Body: body}); err != nil {
		result = "refused"
	} else {
		t.hurry()
	}
	f.stats.hooks.WithLabelValues(f.stats.label(name), result).Inc()
	return reply, err
}
