package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"freshet"
)

// publish takes a payload for a topic whose source is http-post.
func (l *live) publish(w http.ResponseWriter, r *http.Request) error {
	name := freshet.TopicName(r.PathValue("topic"))
	if err := l.takesPosts(name); err != nil { // whatever the body is
		return err
	}
	limit := int64(freshet.MaxPayload)
	if s := l.flow.Limit(name); s > 0 {
		limit = int64(s)
	}
	if err := requireJSON(r, "application/json"); err != nil {
		return err
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit+1))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge) || int64(len(data)) > limit:
		return &freshet.Fault{Code: freshet.FaultSize, Message: "the payload is larger than " + freshet.Bytes(limit).String() + " (limits.payload)"}
	case err != nil:
		return errBodyCut
	}
	ev, err := l.flow.Publish(r.Context(), name, data)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	if ev.Sequence == 0 { // nothing changed: the reader is where it was
		w.WriteHeader(http.StatusAccepted)
		_, err = io.WriteString(w, `{"changed":false}`+"\n")
		return afterHeader(err)
	}
	w.Header().Set("ETag", `"`+ev.ID()+`"`)
	w.WriteHeader(http.StatusAccepted)
	_, err = io.WriteString(w, `{"changed":true,"id":"`+ev.ID()+`"}`+"\n")
	return afterHeader(err)
}

// takesPosts says whether the topic's source is one that takes what is posted.
func (l *live) takesPosts(name freshet.TopicName) error {
	e, err := l.catalog.Get(name)
	if err != nil {
		return err
	}
	if !e.Pushed {
		return known(errMethod, fmt.Sprintf("the source of %s is %s, which takes no POST", name, e.Topic.Source.Type), map[string]string{"Allow": "GET, HEAD"})
	}
	return nil
}
