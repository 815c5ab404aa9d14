package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"

	"freshet"
)

// ListOptions narrows and orders a list of topics.
type ListOptions struct {
	Search   string   // such as: source.type:http-poller AND name!prices
	Sort     []string // fields, such as "name" or "modifyTimestamp,DESC"
	PageSize int      // topics fetched at a time; 200; at most 1000
}

// Topics yields the topics of the server, fetching pages as they are needed. One that is made or
// deleted meanwhile may be missed or seen twice. An error is the last item.
func (c *Client) Topics(ctx context.Context, o ListOptions) iter.Seq2[freshet.Topic, error] {
	return listed[freshet.Topic](ctx, c, c.base+"/v1/topics", listQuery(o.Search, o.Sort), o.PageSize, "list topics")
}

func listQuery(search string, sort []string) url.Values {
	query := url.Values{}
	if len(sort) > 0 {
		query["sort"] = sort
	}
	if search != "" {
		query.Set("search", search)
	}
	return query
}

// listed yields what is on all pages of a list.
func listed[T any](ctx context.Context, c *Client, at string, query url.Values, size int, what string) iter.Seq2[T, error] {
	if size <= 0 {
		size = 200
	}
	return func(yield func(T, error) bool) {
		var none T
		query := maps.Clone(query) // it may be gone through more than once
		query.Set("pageSize", strconv.Itoa(size))
		for page := 1; ; page++ {
			query.Set("page", strconv.Itoa(page))
			var answer struct {
				Items []T `json:"items"`
			}
			if _, err := c.exchange(ctx, http.MethodGet, withQuery(at, query), nil, &answer); err != nil {
				yield(none, fmt.Errorf("%s: %w", what, err))
				return
			}
			for _, item := range answer.Items {
				if !yield(item, nil) {
					return
				}
			}
			if len(answer.Items) < size {
				return
			}
		}
	}
}

// Topic returns a topic with its status, and its ETag. It fails with freshet.ErrNotFound.
func (c *Client) Topic(ctx context.Context, name freshet.TopicName) (freshet.Topic, string, error) {
	return c.topic(ctx, http.MethodGet, name, nil, WriteOptions{})
}

// WriteOptions tunes a change.
type WriteOptions struct {
	IfMatch string // the topic's ETag, without which somebody else's change may be overwritten
	DryRun  bool   // validate, and answer what would be stored, but store nothing
}

// CreateTopic makes a topic and returns it as stored. It fails with freshet.ErrExists, or a Problem
// with Errors.
func (c *Client) CreateTopic(ctx context.Context, t freshet.Topic, o WriteOptions) (freshet.Topic, error) {
	doc, err := json.Marshal(t)
	if err != nil {
		return freshet.Topic{}, fmt.Errorf("create topic %s: %w", t.Name, err)
	}
	return c.CreateTopicJSON(ctx, doc, o)
}

// CreateTopicJSON is CreateTopic for a document as somebody wrote it, so that the server sees, and
// tells, each mistake in it.
func (c *Client) CreateTopicJSON(ctx context.Context, doc []byte, o WriteOptions) (freshet.Topic, error) {
	var t freshet.Topic
	_, err := c.exchange(ctx, http.MethodPost, c.base+"/v1/topics"+o.query(), doc, &t, "Content-Type", "application/json")
	if err != nil {
		return freshet.Topic{}, fmt.Errorf("create topic: %w", err)
	}
	return t, nil
}

// PutTopic makes or replaces a topic, and returns it as stored with its ETag. It fails with
// freshet.ErrConflict (IfMatch), freshet.ErrManaged, or a Problem with Errors.
func (c *Client) PutTopic(ctx context.Context, t freshet.Topic, o WriteOptions) (freshet.Topic, string, error) {
	doc, err := json.Marshal(t)
	if err != nil {
		return freshet.Topic{}, "", fmt.Errorf("topic %s: %w", t.Name, err)
	}
	return c.topic(ctx, http.MethodPut, t.Name, doc, o, "Content-Type", "application/json")
}

// PatchTopic changes a topic by a JSON Merge Patch (RFC 7396): null removes a member. It fails as
// PutTopic does, and with freshet.ErrNotFound.
func (c *Client) PatchTopic(ctx context.Context, name freshet.TopicName, patch []byte, o WriteOptions) (freshet.Topic, string, error) {
	return c.topic(ctx, http.MethodPatch, name, patch, o, "Content-Type", "application/merge-patch+json")
}

// DeleteTopic deletes a topic and its history. It fails with freshet.ErrNotFound,
// freshet.ErrConflict (IfMatch) or freshet.ErrManaged.
func (c *Client) DeleteTopic(ctx context.Context, name freshet.TopicName, o WriteOptions) error {
	_, _, err := c.topic(ctx, http.MethodDelete, name, nil, o)
	return err
}

func (c *Client) topic(ctx context.Context, method string, name freshet.TopicName, doc []byte, o WriteOptions, pairs ...string) (t freshet.Topic, etag string, err error) {
	if err := name.Validate(); err != nil {
		return t, "", fmt.Errorf("topic %q: %w", name, err)
	}
	u := c.base + "/v1/topics/" + string(name) + o.query()
	etag, err = c.exchange(ctx, method, u, doc, &t, append(pairs, "If-Match", o.IfMatch)...)
	if err != nil {
		return freshet.Topic{}, "", fmt.Errorf("topic %s: %w", name, err)
	}
	return t, etag, nil
}

func (o WriteOptions) query() string {
	if o.DryRun {
		return "?dryRun=true"
	}
	return ""
}

// exchange sends a request, reads the JSON answer into dst, if there is a body, and returns its ETag.
func (c *Client) exchange(ctx context.Context, method, u string, doc []byte, dst any, pairs ...string) (etag string, err error) {
	req, err := c.request(ctx, method, u, doc, append(pairs, "Accept", "application/json")...)
	if err != nil {
		return "", err
	}
	res, err := c.do(req)
	if err != nil {
		return "", err
	}
	data, err := c.body(res)
	if err != nil || len(data) == 0 {
		return res.Header.Get("ETag"), err
	}
	if err := json.Unmarshal(data, dst); err != nil {
		return "", fmt.Errorf("the answer is not what was expected: %w", err)
	}
	return res.Header.Get("ETag"), nil
}
