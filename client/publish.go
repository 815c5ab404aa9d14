package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// PublishOptions are for Publish and PublishLines.
type PublishOptions struct {
	// IdempotencyKey makes it safe to repeat a post: the same key with the same body is stored once, and
	// gets the first answer again. Up to 255 printable ASCII characters, new for each post, such as a UUID.
	IdempotencyKey string
}

// Published says what became of a post.
type Published struct {
	ID       string `json:"id,omitempty"` // of the last event that it led to; "": it changed nothing
	Count    int    `json:"count"`        // payloads
	Changed  int    `json:"changed"`      // payloads that led to an event: of a snapshot topic, those that were not what it had
	Repeated bool   `json:"repeated"`     // the answer is that of an earlier post with the same key
}

// Publish sends one JSON value to a topic whose source is http-post, and returns once its event is
// durable. It fails with freshet.ErrInactive where nobody follows the topic and it is not always on,
// freshet.ErrTooLarge, freshet.ErrFormat and others. It does not repeat what failed: whether a request
// that was cut took effect is not known, and with an IdempotencyKey it can be sent again.
func (c *Client) Publish(ctx context.Context, topic string, data []byte, o PublishOptions) (Published, error) {
	var answer struct {
		ID      string `json:"id"`
		Changed bool   `json:"changed"`
	}
	header, err := c.publish(ctx, topic, "application/json", data, o, &answer)
	if err != nil {
		return Published{}, err
	}
	p := Published{ID: answer.ID, Count: 1, Repeated: header.Get("Idempotent-Replayed") == "true"}
	if answer.Changed {
		p.Changed = 1
	}
	return p, nil
}

// PublishLines sends JSON values, one a line, each an event or revision of its own, in their order. At most
// 10 000 lines and 16 MiB. A line that is refused refuses all, before anything is stored; for the rest it is
// like Publish.
func (c *Client) PublishLines(ctx context.Context, topic string, lines []byte, o PublishOptions) (Published, error) {
	var p Published
	header, err := c.publish(ctx, topic, "application/x-ndjson", lines, o, &p)
	if err != nil {
		return Published{}, err
	}
	p.Repeated = header.Get("Idempotent-Replayed") == "true"
	return p, nil
}

func (c *Client) publish(ctx context.Context, topic, media string, body []byte, o PublishOptions, answer any) (http.Header, error) {
	u, err := c.live(topic, nil)
	if err != nil {
		return nil, err
	}
	pairs := []string{"Content-Type", media, "Accept", "application/json"}
	if o.IdempotencyKey != "" {
		pairs = append(pairs, "Idempotency-Key", o.IdempotencyKey)
	}
	req, err := c.request(ctx, http.MethodPost, u, body, pairs...)
	if err != nil {
		return nil, fmt.Errorf("publish to %s: %w", topic, err)
	}
	res, err := c.do(req)
	if err != nil {
		return nil, fmt.Errorf("publish to %s: %w", topic, err)
	}
	data, err := c.body(res)
	if err != nil {
		return nil, fmt.Errorf("publish to %s: %w", topic, err)
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return nil, fmt.Errorf("publish to %s: the answer is not what was expected: %w", topic, err)
	}
	return res.Header, nil
}
