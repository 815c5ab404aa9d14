package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"freshet"
)

// A custom method stands behind the name with a colon (Google AIP-136), which ServeMux cannot match.
const pollMethod = ":poll"

// custom answers a POST to a topic under /v1, which has one method only: poll.
func (l *live) custom(w http.ResponseWriter, r *http.Request) error {
	name, isPoll := strings.CutSuffix(r.PathValue("topic"), pollMethod)
	if !isPoll {
		return known(errMethod, "POST /v1/topics/{topic}:poll asks for a poll; a topic is changed with PUT or PATCH", map[string]string{"Allow": "DELETE, GET, HEAD, PATCH, PUT"})
	}
	if err := onlyParameters(r); err != nil {
		return err
	}
	notBefore, err := l.flow.Poll(freshet.TopicName(name))
	if errors.Is(err, freshet.ErrNotAllowed) {
		return known(errMethod, err.Error(), map[string]string{"Allow": ""})
	}
	if err != nil {
		return err
	}
	if wait := time.Until(notBefore); wait > time.Second {
		return known(freshet.ErrUnavailable, fmt.Sprintf("the upstream wants no request before %s; the poll is made then", notBefore.UTC().Format(time.RFC3339)),
			map[string]string{"Retry-After": strconv.Itoa(int(wait.Seconds()) + 1)})
	}
	return answer(w, http.StatusAccepted, l.flow.Status(freshet.TopicName(name)))
}
