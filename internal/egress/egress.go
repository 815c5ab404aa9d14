// Package egress is the one client through which Freshet calls anybody.
//
// Whoever may name a URL could otherwise make this process talk to what only this process can
// reach. So the guard looks at each address after the name was resolved and before the connection
// is made: a name that resolves to something else the second time gains nothing, and neither does
// an address in disguise. Nothing else in Freshet dials out.
package egress

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Config is what a Client may do. Its zero value reaches the public internet, any port of it: APIs
// live on 8443 and 3000 too, and what a port scan of the public internet would find is public.
type Config struct {
	Allow    []netip.Prefix // addresses beyond the public internet, such as 10.0.0.0/8
	Version  string         // of Freshet, for the User-Agent
	Resolver *net.Resolver  // nil: the system's
}

// A Client sends requests to where it may. It is safe for concurrent use.
type Client struct {
	transport *http.Transport // of what plain does not take
	plain     *plain
	dialer    *net.Dialer
	userAgent string
	named     []string // userAgent, as a field's value; never written to
}

// maxResponseHeader bounds the header of an answer, in bytes.
const maxResponseHeader = 64 << 10

// New returns a client. It obeys no proxy settings of the environment, which would connect to the
// address on our behalf, unchecked.
func New(c Config) *Client {
	dialer := &net.Dialer{
		Timeout:        10 * time.Second,
		Resolver:       c.Resolver,
		ControlContext: newGuard(c.Allow).control,
	}
	userAgent := "Freshet/" + cmp.Or(c.Version, "dev") + " (+https://freshet.dev)"
	return &Client{
		dialer:    dialer,
		plain:     &plain{dial: dialer.DialContext, idle: Idle[*plainConn]{Most: maxIdle, MostEach: maxIdlePerHost}},
		userAgent: userAgent, named: []string{userAgent},
		transport: &http.Transport{
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true, // a DialContext of one's own turns it off otherwise
			TLSHandshakeTimeout:    10 * time.Second,
			MaxResponseHeaderBytes: maxResponseHeader,
			MaxIdleConns:           maxIdle,
			MaxIdleConnsPerHost:    maxIdlePerHost,
			IdleConnTimeout:        idleFor,
			DisableCompression:     true, // who asks for a compressed body counts what comes out of it
			HTTP2: &http.HTTP2Config{
				// A connection that died without a word would otherwise fail each request by its
				// time-out for as long as the system believes in it.
				SendPingTimeout: 15 * time.Second,
				PingTimeout:     10 * time.Second,
			},
		},
	}
}

// Do sends one request, with a User-Agent where it has none, and returns whatever is answered: it follows no
// redirect, keeps no cookie and decompresses nothing. The context of the request is its only time limit. Errors do not
// contain the URL, whose query may hold a secret; an address that may not be reached is a
// *RefusedError.
func (c *Client) Do(r *http.Request) (*http.Response, error) {
	if err := checkURL(r.URL); err != nil {
		return nil, fmt.Errorf("egress: %w", err)
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if r.Header.Get("User-Agent") == "" {
		r.Header["User-Agent"] = c.named
	}
	send := c.transport.RoundTrip
	if c.plain.takes(r) {
		send = c.plain.roundTrip
	}
	resp, err := send(r)
	if err == nil {
		return resp, nil
	}
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return nil, &RefusedError{Host: r.URL.Hostname(), Addr: refused.Addr, Reason: refused.Reason, exact: refused.exact}
	}
	return nil, fmt.Errorf("egress: %w", err)
}

// UserAgent is what requests call themselves.
func (c *Client) UserAgent() string { return c.userAgent }

// Secure is a client that goes where c may, with another TLS configuration, and connections of its own.
func (c *Client) Secure(config *tls.Config) *Client {
	transport := c.transport.Clone()
	transport.TLSClientConfig = config
	return &Client{transport: transport, plain: c.plain, dialer: c.dialer, userAgent: c.userAgent, named: c.named}
}

// Dial connects to a host and port where the client may go, for protocols other than HTTP. network is tcp,
// tcp4 or tcp6.
func (c *Client) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.dialer.DialContext(ctx, network, address)
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		host, _, _ := net.SplitHostPort(address) // it was dialled
		return nil, &RefusedError{Host: host, Addr: refused.Addr, Reason: refused.Reason, exact: refused.exact}
	}
	if err != nil {
		return nil, fmt.Errorf("egress: %w", err)
	}
	return conn, nil
}

// Close ends the connections that are not in use. The client remains usable.
func (c *Client) Close() {
	c.transport.CloseIdleConnections()
	c.plain.idle.Close(0)
}

// ParseURL returns the URL if a Client could be asked for it: absolute, http or https, with a host
// and without a user name or password in it. Whether its address may be reached only the attempt
// can tell. The errors say what to mend, and contain nothing of the URL but its scheme and host.
func ParseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		return nil, fmt.Errorf("not a URL: %w", err)
	}
	if err := checkURL(u); err != nil {
		return nil, err
	}
	return u, nil
}

// Show is the URL as it may be logged and shown: without user, query and fragment.
func Show(u *url.URL) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return shown.String()
}

// Port is the port that a request of the URL goes to.
func Port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// Address is the host and port that a request of the URL goes to.
func Address(u *url.URL) string { return net.JoinHostPort(u.Hostname(), Port(u)) }

// zoneLetters are those that a zone may be written with as they are (RFC 6874 section 2).
const zoneLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"

func checkURL(u *url.URL) error {
	switch {
	case u.Scheme == "" && u.Host == "":
		return errors.New("not an absolute URL: write http://host/path or https://host/path")
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("the scheme is %.20q: only http and https are possible", u.Scheme)
	case u.User != nil:
		return errors.New("a user or password in the URL is not sent: use an Authorization header")
	case u.Hostname() == "":
		return errors.New("the URL has no host")
	}
	if _, zone, ok := strings.Cut(u.Hostname(), "%"); ok && strings.Trim(zone, zoneLetters) != "" {
		return errors.New("the zone of the address has a character that no interface's name has")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("%q is not a port: 1 to 65535", p)
		}
	}
	if _, err := netip.ParseAddr(u.Hostname()); err != nil && endsInNumber(u.Hostname()) {
		return fmt.Errorf("%.64q is neither a host name nor an IPv4 address of four decimal numbers", u.Hostname())
	}
	return nil
}

// endsInNumber tells hosts that some resolvers take for an IPv4 address (2130706433, 0x7f.1,
// 0177.0.0.1) from names, by the rule of the WHATWG URL standard, section 3.5.
func endsInNumber(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	if last != "" && strings.Trim(last, "0123456789") == "" {
		return true
	}
	digits, hex := strings.CutPrefix(last, "0x")
	return hex && strings.Trim(digits, "0123456789abcdef") == ""
}
