package s3

import (
	"cmp"
	"context"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/files"
	"freshet/internal/flow/source/files/web"
)

const (
	maxPages = 100      // of a list, of a thousand keys each
	maxPage  = 16 << 20 // bytes
)

// store is a bucket.
type store struct {
	client *web.Client
	*config
}

// Folder says whether all objects with a prefix are meant.
func (s *store) Folder(context.Context) (bool, error) { return s.Prefix != nil, nil }

// Close has nothing to close.
func (s *store) Close() {}

// NotBefore is when the bucket may be asked at the earliest.
func (s *store) NotBefore() time.Time { return s.client.NotBefore(s.base) }

// Open opens an object.
func (s *store) Open(ctx context.Context, name string, from int64, have string) (*files.Opened, error) {
	u := *s.base
	u.Path += "/" + cmp.Or(name, s.Key)
	u.RawPath = escape(u.Path)
	return s.client.Open(ctx, &u, from, have) //nolint:wrapcheck // it is the same
}

// escape escapes a path as signatures need it: all but what RFC 3986, 2.3, leaves alone, and slashes.
func escape(path string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(path) {
		switch c := path[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~/", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteString("%" + string(hex[c>>4]) + string(hex[c&15]))
		}
	}
	return b.String()
}

// A page of a list of objects.
type page struct {
	XMLName  xml.Name `xml:"ListBucketResult"`
	Encoding string   `xml:"EncodingType"`
	More     bool     `xml:"IsTruncated"`
	Next     string   `xml:"NextContinuationToken"`
	Contents []struct {
		Key          string
		LastModified time.Time
		ETag         string
		Size         int64
	}
}

// List are the objects with the prefix.
func (s *store) List(ctx context.Context, after string) ([]files.File, error) {
	var found []files.File
	next := ""
	for range maxPages {
		p, err := s.list(ctx, after, next)
		if err != nil {
			return nil, err
		}
		for _, o := range p.Contents {
			key := o.Key
			if p.Encoding == "url" {
				if key, err = url.QueryUnescape(key); err != nil {
					return nil, source.Faultf(freshet.FaultFormat, "the store's list of objects has a key that cannot be read")
				}
			}
			if !strings.HasSuffix(key, "/") { // which stands for a folder
				found = append(found, files.File{Name: key, Size: o.Size, Modified: o.LastModified, Version: "E" + o.ETag})
			}
		}
		if !p.More || p.Next == "" {
			return found, nil
		}
		next = p.Next
	}
	return nil, source.Faultf(freshet.FaultSize, "there are more than %d objects with that prefix", maxPages*1000)
}

// list is one page of the list.
func (s *store) list(ctx context.Context, after, next string) (*page, error) {
	u := *s.base
	u.Path = cmp.Or(u.Path, "/")
	u.RawPath = escape(u.Path)
	q := url.Values{"list-type": {"2"}, "encoding-type": {"url"}}
	if *s.Prefix != "" {
		q.Set("prefix", *s.Prefix)
	}
	if after != "" {
		q.Set("start-after", after)
	}
	if next != "" {
		q.Set("continuation-token", next)
	}
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20") // as signatures need it
	resp, err := s.client.Get(ctx, &u, http.Header{})
	if err != nil {
		return nil, err //nolint:wrapcheck // it is the same
	}
	defer func() { _ = resp.Body.Close() }()
	p := &page{}
	if err := xml.NewDecoder(io.LimitReader(resp.Body, maxPage)).Decode(p); err != nil {
		return nil, source.Faultf(freshet.FaultFormat, "the store's list of objects cannot be read: is the endpoint that of S3?")
	}
	return p, nil
}
