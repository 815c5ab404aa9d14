package egress_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"freshet/internal/egress"
)

func prefixes(list string) (all []netip.Prefix) {
	for p := range strings.FieldsSeq(list) {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

func TestAddresses(t *testing.T) {
	const private = "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 169.254.0.0/16 100.64.0.0/10 127.0.0.0/8 168.63.0.0/16 fc00::/7 fe80::/10 ::1/128 2002::/16 64:ff9b::/96"
	for _, tt := range []struct {
		allow, addr string
		want        string // part of the refusal; empty: may be reached
	}{
		{"", "8.8.8.8", ""},
		{"", "::ffff:8.8.8.8", ""},
		{"", "2606:4700::1111", ""},
		{"", "127.0.0.1", "loopback address; allow it with egress.allow"},
		{"", "127.255.255.254", "loopback"},
		{"", "::1", "loopback"},
		{"", "::ffff:127.0.0.1", "127.0.0.1 is a loopback"},
		{"", "0.0.0.0", "unspecified"},
		{"", "0.1.2.3", "reserved"},
		{"", "::", "unspecified"},
		{"", "10.0.0.5", "10.0.0.5 is a private address; allow it with egress.allow"},
		{"", "172.31.255.255", "private"},
		{"", "172.32.0.1", ""},
		{"", "192.168.1.1", "private"},
		{"", "::ffff:192.168.1.1", "private"},
		{"", "fd12::1", "private"},
		{"", "169.254.1.1", "link-local"},
		{"", "fe80::1", "link-local"},
		{"", "fe80::1%eth0", "link-local"},
		{"", "100.64.0.1", "reserved"},
		{"", "192.0.2.1", "reserved"},
		{"", "198.18.0.1", "reserved"},
		{"", "224.0.0.1", "multicast"},
		{"", "255.255.255.255", "reserved"},
		{"", "2001:db8::1", "reserved"},
		{"", "3fff::1", "reserved"},
		{"", "5f00::1", "reserved"},
		{"", "169.254.169.254", "metadata service; only egress.allow of exactly 169.254.169.254/32"},
		{"", "fd00:ec2::254", "metadata service; only egress.allow of exactly fd00:ec2::254/128"},
		{"", "168.63.129.16", "metadata"},
		{"", "192.0.0.192", "metadata"},
		{"", "64:ff9b::7f00:1", "stands for 127.0.0.1"},
		{"", "64:ff9b::808:808", "stands for 8.8.8.8"},
		{"", "64:ff9b:1::a00:5", "stands for 10.0.0.5"},
		{"", "2002:7f00:1::1", "stands for 127.0.0.1"},
		{"", "2002:a9fe:a9fe::1", "stands for 169.254.169.254"},
		{"", "2001:0:5ef5:79fd::80ff:fffe", "stands for 127.0.0.1"},
		{"", "::7f00:1", "stands for 127.0.0.1"},

		{private, "10.0.0.5", ""},
		{private, "::ffff:10.0.0.5", ""},
		{private, "127.0.0.1", ""},
		{private, "::1", ""},
		{private, "fe80::1%eth0", ""},
		{private, "169.254.1.1", ""},
		{private, "192.0.2.1", "reserved"},
		{private, "0.0.0.0", "unspecified"},
		{private, "168.63.1.1", ""},
		{private, "168.63.129.16", "metadata"},
		{private, "169.254.169.254", "metadata"},
		{private, "::ffff:169.254.169.254", "metadata"},
		{private, "169.254.170.2", "metadata"},
		{private, "100.100.100.200", "metadata"},
		{private, "fd00:ec2::254", "metadata"},
		{private, "64:ff9b::808:808", ""},
		{private, "64:ff9b::a00:5", ""},
		{private, "64:ff9b::a9fe:a9fe", "stands for 169.254.169.254"},
		{private, "2002:a9fe:a9fe::1", "stands for 169.254.169.254"},
		{"64:ff9b::/96", "64:ff9b::808:808", ""},
		{"64:ff9b::/96", "64:ff9b::7f00:1", "stands for 127.0.0.1"},
		{"10.0.0.5/32", "10.0.0.6", "private"},
		{"::ffff:10.0.0.0/104", "10.0.0.6", ""},
		{"10.9.9.9/8", "10.0.0.6", ""},
		{"169.254.169.254/32", "169.254.169.254", ""},
		{"169.254.169.254/32", "169.254.169.253", "link-local"},
		{"169.254.169.254/31", "169.254.169.254", "metadata"},
		{"fd00:ec2::254/128", "fd00:ec2::254", ""},
	} {
		err := egress.CheckAddr(prefixes(tt.allow), netip.MustParseAddr(tt.addr))
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("allow %q: %s refused: %v", tt.allow, tt.addr, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("allow %q: %s: %v; want %q", tt.allow, tt.addr, err, tt.want)
		}
	}
}

// An address in disguise must not reach a server that listens on every address of this machine.
func TestDisguises(t *testing.T) {
	var hits atomic.Int32
	port := serveAll(t, &hits)
	client := egress.New(egress.Config{})
	defer client.Close()
	for _, host := range []string{
		"127.0.0.1", "127.1", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "017700000001", "127.0.0.1.",
		"0", "0.0.0.0", "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
		"localhost", "LOCALHOST", "127.0.0.0x1", "1.0x",
	} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+host+":"+port+"/?key=s3cret", nil)
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		resp, err := client.Do(r)
		if err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s was reached", host)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error holds the query: %v", host, err)
		}
	}
	if hits.Load() != 0 {
		t.Errorf("%d requests arrived", hits.Load())
	}
}

func TestParseURL(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"https://api.example.com/v1?key=s3cret", ""},
		{"http://api.example.com:8443/", ""},
		{"http://[2606:4700::1111]:80/", ""},
		{"HTTP://Example.com", ""},
		{"http://3com.example/", ""},
		{"http://münchen.example/", ""},
		{"/prices", "not an absolute URL"},
		{"api.example.com/prices", "not an absolute URL"},
		{"file:///etc/passwd", "only http and https"},
		{"gopher://example.com/", "only http and https"},
		{"http:///path", "no host"},
		{"http:example.com", "no host"},
		{"https://user:s3cret@example.com/", "Authorization header"},
		{"http://example.com:0/", "not a port"},
		{"http://example.com:65536/", "not a port"},
		{"http://2130706433/", "neither a host name nor an IPv4"},
		{"http://0x7f000001/", "neither a host name nor an IPv4"},
		{"http://127.1/", "neither a host name nor an IPv4"},
		{"http://exa mple.com/s3cret", "not a URL"},
		{"http://example.com/\x7fs3cret", "not a URL"},
	} {
		_, err := egress.ParseURL(tt.url)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.url, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v; want %q", tt.url, err, tt.want)
		case err != nil && strings.Contains(err.Error(), "s3cret"):
			t.Errorf("%s: the error holds the secret: %v", tt.url, err)
		}
	}
}

func TestShow(t *testing.T) {
	u, err := egress.ParseURL("https://api.example.com:8443/a%2Fb/c?key=s3cret#s3cret")
	if err != nil || egress.Show(u) != "https://api.example.com:8443/a%2Fb/c" {
		t.Errorf("%s, %v", egress.Show(u), err)
	}
}

// A name that resolves to something else after it was found good gains nothing.
func TestRebinding(t *testing.T) {
	var hits atomic.Int32
	port := serveAll(t, &hits)
	var queries atomic.Int32
	resolver := scriptedDNS(t, func() netip.Addr {
		if queries.Add(1) == 1 {
			return netip.MustParseAddr("127.0.0.1")
		}
		return netip.MustParseAddr("127.0.0.2")
	})
	client := egress.New(egress.Config{Allow: prefixes("127.0.0.1/32"), Resolver: resolver})
	defer client.Close()
	get := func() error {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://rebind.example:"+port+"/", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(r)
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	}
	if err := get(); err != nil {
		t.Fatal(err)
	}
	client.Close()
	err := get()
	refused, ok := errors.AsType[*egress.RefusedError](err)
	if !ok || refused.Host != "rebind.example" || refused.Addr.String() != "127.0.0.2" {
		t.Errorf("the second address: %v", err)
	}
	if want := "egress: rebind.example resolves to 127.0.0.2, a loopback address; allow it with egress.allow"; ok && err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	if hits.Load() != 1 {
		t.Errorf("%d requests arrived, want 1", hits.Load())
	}
}

func TestRequest(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // must not matter
	var remotes []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		remotes = append(remotes, r.RemoteAddr)
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, "/", http.StatusFound)
		}
		_, _ = io.WriteString(w, r.UserAgent())
	}))
	defer srv.Close()
	client := egress.New(egress.Config{Allow: prefixes("127.0.0.0/8"), Version: "1.2.3"})
	defer client.Close()
	get := func(path, agent string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if agent != "" {
			r.Header.Set("User-Agent", agent)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if _, agent := get("/", ""); agent != "Freshet/1.2.3 (+https://freshet.dev)" {
		t.Errorf("User-Agent %q", agent)
	}
	if _, agent := get("/", "mine"); agent != "mine" {
		t.Errorf("User-Agent %q, want the caller's", agent)
	}
	if status, _ := get("/redirect", ""); status != http.StatusFound {
		t.Errorf("a redirect gave %d", status)
	}
	for _, r := range remotes {
		if r != remotes[0] {
			t.Error("the connection was not used again")
		}
	}
}

// serveAll counts requests on every IPv4 address of this machine and returns its port.
func serveAll(t *testing.T, hits *atomic.Int32) (port string) {
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: &http.Server{
		ReadHeaderTimeout: time.Second,
		Handler:           http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }),
	}}
	srv.Start()
	t.Cleanup(srv.Close)
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

// scriptedDNS is a resolver whose A records answer decides; there are no others.
func scriptedDNS(t *testing.T, answer func() netip.Addr) *net.Resolver {
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = conn.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(dnsReply(buf[:n], answer), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// dnsReply answers the one question of a query, RFC 1035 section 4.
func dnsReply(query []byte, answer func() netip.Addr) []byte {
	end := 12
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5 // the root label, type and class
	reply := append([]byte(nil), query[:end]...)
	binary.BigEndian.PutUint16(reply[2:], 0x8180) // a response, recursion available
	for i := 6; i < 12; i++ {
		reply[i] = 0
	}
	if binary.BigEndian.Uint16(query[end-4:]) == 1 { // A
		reply[7] = 1
		addr := answer().As4()
		reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		reply = append(reply, addr[:]...)
	}
	return reply
}

// Whatever is accepted is accepted again as it is shown, and shows nothing that may be secret.
func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"https://api.example.com:8443/a%2Fb?q=1#f", "http://[fe80::1%25eth0]/", "http://1.2.3.4./", "http://0x7f.1/",
		"http://u:p@h/", "HTTP://H", "http://h:00080", "http://h/%zz", "//h", "http://ü/", "http://[::ffff:1.2.3.4]:1", "http:/h", "http://h\\@i/", "http://[::1%25e\x8bh0]",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := egress.ParseURL(raw)
		if err != nil {
			return
		}
		shown, err := egress.ParseURL(egress.Show(u))
		if err != nil || shown.Host != u.Host || shown.Path != u.Path || shown.User != nil || shown.RawQuery != "" || shown.Fragment != "" {
			t.Errorf("%q is shown as %q: %v", raw, egress.Show(u), err)
		}
	})
}
