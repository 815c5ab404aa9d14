// Package s3 reads objects of stores that speak as Amazon S3 does.
package s3

import (
	"context"
	"encoding/json"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"

	"freshet"
	"freshet/internal/egress"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/credentials"
	"freshet/internal/flow/source/files"
	"freshet/internal/flow/source/files/web"
	"freshet/internal/settings"
)

type config struct {
	Endpoint     settings.URL     `json:"endpoint" doc:"The address of the store, such as https://minio.example.com:9000; by default that of Amazon S3 in the region"`
	Region       string           `json:"region" default:"us-east-1" range:"1..50" doc:"The region of the bucket; many stores other than Amazon's take any"`
	Bucket       string           `json:"bucket" required:"true" address:"true" doc:"The name of the bucket"`
	Key          string           `json:"key" range:"0..1024" doc:"The object to read; or else prefix"`
	Prefix       *string          `json:"prefix" doc:"All objects whose keys begin so are read, as the files of a folder; empty: all of the bucket"`
	Addressing   string           `json:"addressing" default:"path" oneof:"path,host" doc:"Whether the bucket is named in the path of addresses, or, as the first part, in their host"`
	AccessKey    string           `json:"accessKey" doc:"The id of the access key. Without it the requests are not signed, for buckets that anyone may read"`
	SecretKey    settings.Secret  `json:"secretKey" doc:"The secret access key"`
	SessionToken settings.Secret  `json:"sessionToken" doc:"For temporary credentials"`
	TLS          *credentials.TLS `json:"tls" doc:"Certificates for the connections"`
	Timeout      freshet.Duration `json:"timeout" default:"PT10S" range:"PT0.1S..PT5M" doc:"How long the store may take to answer, and be silent amid an answer"`
	files.Options
	files.Folder

	base *url.URL // of the bucket
}

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	regionName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

// Check is what the tags cannot say.
func (c *config) Check(v *settings.Verdict) {
	c.Options.Check(v)
	c.Folder.Check(v, c.Mode)
	c.TLS.CheckUse(v, "/tls", string(c.Endpoint), nil)
	if c.Settle != freshet.Duration(2*time.Second) {
		v.Say("/settle", "is of no use: an object is replaced as a whole")
	}
	if c.Prefix == nil {
		c.Options.CheckOne(v)
		c.Folder.CheckOne(v, "prefix")
	}
	switch {
	case c.Key == "" && c.Prefix == nil:
		v.Say("/key", "is required, or else prefix")
	case c.Key != "" && c.Prefix != nil:
		v.Say("/prefix", "is of no use beside key: leave one of them out")
	}
	if (c.AccessKey == "") != (c.SecretKey == "") {
		v.Say("/secretKey", "accessKey and secretKey go together")
	}
	if c.SessionToken != "" && c.AccessKey == "" {
		v.Say("/sessionToken", "is of no use without accessKey")
	}
	if c.Bucket != "" && !bucketName.MatchString(c.Bucket) {
		v.Say("/bucket", "%.80q is no name of a bucket: from 3 to 63 small letters, digits, dots and hyphens", c.Bucket)
	}
	endpoint := string(c.Endpoint)
	if endpoint == "" {
		endpoint = "https://s3." + c.Region + ".amazonaws.com"
	}
	u, err := egress.ParseURL(endpoint)
	switch {
	case !regionName.MatchString(c.Region):
		v.Say("/region", "%.60q is no region: letters, digits, hyphens and underscores", c.Region)
	case err != nil: // which the tags find
	case u.RawQuery != "" || u.User != nil:
		v.Say("/endpoint", "must have no query and no user")
	default:
		c.base = c.within(u, v)
	}
}

// within is the address of the bucket.
func (c *config) within(u *url.URL, v *settings.Verdict) *url.URL {
	base := &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(u.Path, "/")}
	if c.Addressing != "host" {
		base.Path += "/" + c.Bucket
		return base
	}
	if net.ParseIP(u.Hostname()) != nil {
		v.Say("/addressing", "must be path for an endpoint that is an IP address")
	}
	base.Host = c.Bucket + "." + u.Host
	return base
}

// Kind is the type s3.
func Kind() source.Kind {
	return source.Kind{
		Name:    "s3",
		Summary: "Reads an object of Amazon S3, or of a store that speaks as it does, as it changes, or all objects whose keys begin alike.",
		Notes: "**What it asks.** For each look one conditional request for the object, of lines for what is behind those that were read (`Range`); with `prefix` the list of the keys that come after those that are done (`ListObjectsV2`), at most 100,000. Each of these is paid for at Amazon's. " +
			"Requests are signed by AWS Signature Version 4. An object is replaced as a whole, so `settle` is not waited for. With `prefix` the key is the name, with all the folders in it, while `pattern` is for what follows the last `/`. `Retry-After` and the budgets of origins are obeyed.\n\n" + files.Notes,
		Feeds:  []freshet.Kind{freshet.KindSnapshot, freshet.KindEvent},
		Config: config{},
		Check:  source.Check[config],
		Period: func(conf json.RawMessage) time.Duration {
			var c config
			_ = settings.Read(conf, &c) // in which Check finds nothing
			return time.Duration(c.PollingPeriod)
		},
		New: newReader,
	}
}

func newReader(conf json.RawMessage, env source.Env) (source.Source, error) {
	var c config
	if wrong := settings.Read(conf, &c); wrong != nil {
		return nil, wrong
	}
	s := web.Settings{TLS: c.TLS, Silence: time.Duration(c.Timeout)}
	if c.AccessKey != "" {
		s.Authorization = &credentials.Authorization{Type: "aws-sigv4", AccessKey: c.AccessKey, SecretKey: c.SecretKey, SessionToken: c.SessionToken, Region: c.Region, Service: "s3"}
	}
	client, err := web.New(s, env)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says all
	}
	where := c.base.String() + "\n" + c.Key
	if c.Prefix != nil {
		where += "\n" + *c.Prefix
	}
	return &files.Reader{
		Options: c.Options, Folder: c.Folder, Where: where, Whole: true, Env: env,
		Connect: func(context.Context) (files.Store, error) { return &store{client, &c}, nil },
	}, nil
}
