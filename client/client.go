// Package client follows, reads, writes and manages the topics of a Freshet server.
//
// Follow is the heart of it: it keeps a topic's document up to date over any number of connections.
// Errors of the server arrive as a *Problem that wraps the freshet sentinel of the same meaning, so
// that errors.Is(err, freshet.ErrNotFound) holds on both sides of the wire.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"freshet"
)

// Config tunes a Client. Its zero value works.
type Config struct {
	// HTTPClient sends the requests. The default follows up to five redirects and takes Header off
	// where one leads to another origin. A client of your own must have no Timeout: it would end
	// every stream.
	HTTPClient *http.Client
	RootCAs    *x509.CertPool // the authorities that may vouch for the server; by default the system's. Not with HTTPClient
	Header     http.Header    // sent with each request, such as Authorization
	UserAgent  string         // freshet-go
	MaxBytes   freshet.Bytes  // of one document or event; by default freshet.MaxPayload and what surrounds it
}

// A Client talks to one server. It is safe for concurrent use.
type Client struct {
	base   string // without a slash at its end
	http   *http.Client
	header http.Header
	limit  int64
}

// New returns a client of the server at base, such as http://127.0.0.1:4440. It sends nothing yet.
func New(base string, c Config) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("server address: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("server address %q is not an address such as http://127.0.0.1:4440", base)
	}
	client := &Client{strings.TrimRight(base, "/"), c.HTTPClient, c.Header.Clone(), int64(c.MaxBytes)}
	if client.header == nil {
		client.header = http.Header{}
	}
	if client.header.Get("User-Agent") == "" {
		client.header.Set("User-Agent", "freshet-go")
	}
	if c.UserAgent != "" {
		client.header.Set("User-Agent", c.UserAgent)
	}
	if client.http == nil {
		client.http = &http.Client{CheckRedirect: client.checkRedirect}
		if transport, ok := http.DefaultTransport.(*http.Transport); ok && c.RootCAs != nil {
			transport = transport.Clone()
			transport.TLSClientConfig = &tls.Config{RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12}
			client.http.Transport = transport
		}
	}
	if client.limit <= 0 {
		client.limit = freshet.MaxPayload + 1<<20 // the field names, ids and comments around a document
	}
	return client, nil
}

// checkRedirect keeps what Config.Header holds, which may be secret, from other origins. Go does so
// for Authorization and Cookie only.
func (c *Client) checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > 5 {
		return errors.New("more than 5 redirects")
	}
	if from := via[0].URL; req.URL.Host != from.Host || req.URL.Scheme != from.Scheme {
		for name := range c.header {
			req.Header.Del(name)
		}
	}
	return nil
}

// IsURL says whether a topic is given as an absolute URL, which makes a topic of that API on the fly.
func IsURL(topic string) bool {
	scheme, _, ok := strings.Cut(topic, "://")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// live is the URL of a topic's data. An absolute URL is appended as it is, its own query included;
// where there is a query of ours too, it goes into one so that the two cannot be mixed up.
func (c *Client) live(topic string, query url.Values) (string, error) {
	if IsURL(topic) {
		topic, _, _ = strings.Cut(topic, "#")
		if len(query) == 0 {
			return c.base + "/live/" + topic, nil
		}
		query = maps.Clone(query)
		query.Set("url", topic)
		return c.base + "/live?" + query.Encode(), nil
	}
	if err := freshet.TopicName(topic).Validate(); err != nil {
		return "", fmt.Errorf("topic %q: %w", topic, err)
	}
	return withQuery(c.base+"/live/"+topic, query), nil
}

func withQuery(u string, query url.Values) string {
	if len(query) == 0 {
		return u
	}
	return u + "?" + query.Encode()
}

// request makes a request that carries the client's headers and then the pairs given.
func (c *Client) request(ctx context.Context, method, url string, body []byte, pairs ...string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, c.header.Clone())
	for pair := range slices.Chunk(pairs, 2) {
		if name, value := pair[0], pair[1]; value != "" {
			req.Header.Set(name, value)
		}
	}
	return req, nil
}

// do sends a request and returns its answer if that is 2xx or 304, else the problem that it is.
func (c *Client) do(req *http.Request) (*http.Response, error) {
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode/100 == 2 || res.StatusCode == http.StatusNotModified {
		return res, nil
	}
	defer res.Body.Close()
	return nil, readProblem(res)
}

// body reads an answer to its end, within the limit.
func (c *Client) body(res *http.Response) ([]byte, error) {
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, c.limit+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if int64(len(data)) > c.limit {
		return nil, fmt.Errorf("the answer is longer than %d bytes: %w", c.limit, freshet.ErrTooLarge)
	}
	return data, nil
}
