package app_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"freshet"
	"freshet/internal/app"
)

// A rawSocket is a WebSocket by the byte, to say what no library would.
type rawSocket struct {
	t  *testing.T
	c  net.Conn
	in *bufio.Reader
}

const handshake = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// rawDial sends a handshake with some more headers, and returns what is answered.
func rawDial(t *testing.T, target, headers string) (*rawSocket, *http.Response) {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.(*net.TCPConn).SetReadBuffer(64 << 10) // a slow one is to be slow soon
	if u.Scheme == "https" {
		c = tls.Client(c, &tls.Config{RootCAs: testKeys.Roots, ServerName: u.Hostname()})
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", u.RequestURI(), u.Host, headers)
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &rawSocket{t, c, in}, resp
}

func rawOpen(t *testing.T, target, headers string) *rawSocket {
	t.Helper()
	s, resp := rawDial(t, target, handshake+headers)
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("%s: %s %v", target, resp.Status, resp.Header)
	}
	return s
}

// frame reads a frame of the server's.
func (s *rawSocket) frame() (first byte, payload []byte, err error) {
	var h [2]byte
	if _, err := io.ReadFull(s.in, h[:]); err != nil {
		return 0, nil, err
	}
	size := uint64(h[1])
	switch size {
	case 126:
		var b [2]byte
		_, err = io.ReadFull(s.in, b[:])
		size = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		_, err = io.ReadFull(s.in, b[:])
		size = binary.BigEndian.Uint64(b[:])
	}
	if err != nil || size > 1<<27 {
		return 0, nil, fmt.Errorf("a frame of %d bytes: %w", size, err)
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(s.in, payload)
	return h[0], payload, err
}

// heard is what the server says to what was sent: its frames, in short, until it closes the connection.
func (s *rawSocket) heard(sent []byte, inPieces int) string {
	s.t.Helper()
	_ = s.c.SetDeadline(time.Now().Add(10 * time.Second))
	go func() {
		for len(sent) > 0 {
			n := min(inPieces, len(sent))
			if _, err := s.c.Write(sent[:n]); err != nil {
				return // it was closed, which is what is tested
			}
			sent = sent[n:]
		}
	}()
	var said []string
	for {
		first, payload, err := s.frame()
		switch {
		case err == io.EOF, errors.Is(err, syscall.ECONNRESET) && strings.Contains(strings.Join(said, " "), "close"): // it was too late to answer that
			return strings.Join(append(said, "end"), " ")
		case err != nil:
			return strings.Join(append(said, err.Error()), " ")
		}
		switch first {
		case 0x8A:
			said = append(said, fmt.Sprintf("pong:%d:%.8s", len(payload), payload))
		case 0x88:
			if len(payload) < 2 {
				said = append(said, "close")
			} else {
				said = append(said, fmt.Sprintf("close:%d", binary.BigEndian.Uint16(payload)))
			}
			_, _ = s.c.Write(masked(0x88, payload)) // the answer to it; it may be too late for one
		case 0x81:
			var m wsMessage
			if err := json.Unmarshal(payload, &m); err != nil {
				s.t.Fatalf("%q: %v", payload, err)
			}
			said = append(said, m.Type)
		default:
			said = append(said, fmt.Sprintf("%x?", first))
		}
	}
}

// masked is a frame of a client's.
func masked(first byte, payload []byte) []byte { return sized(first, len(payload), payload) }

// sized is one that says it has so many bytes.
func sized(first byte, size int, payload []byte) []byte {
	b := []byte{first}
	switch {
	case size < 126:
		b = append(b, byte(size)|0x80)
	case size < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126|0x80), uint16(size))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127|0x80), uint64(size))
	}
	mask := []byte{1, 2, 3, 250}
	b = append(b, mask...)
	for i, c := range payload {
		b = append(b, c^mask[i&3])
	}
	return b
}

func closeFrame(code int, reason string) []byte {
	return masked(0x88, append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...))
}

// socketCases are after the suite of Autobahn: what a client sends, and what it gets. "text" is the answer to a
// message that is not understood.
func socketCases(limit int) (cases []socketCase) {
	add := func(name, want string, frames ...[]byte) {
		cases = append(cases, socketCase{name, want, bytes.Join(frames, nil)})
	}
	text, cont, bye := byte(0x81), byte(0x80), closeFrame(1000, "")
	const done = "close:1000 end"
	// 1, 4, 5: text, binary, opcodes and fragments.
	add("text", "text "+done, masked(text, []byte("hello")), bye)
	add("empty text", "text "+done, masked(text, nil), bye)
	add("text of the limit", "text "+done, masked(text, bytes.Repeat([]byte("*"), limit)), bye)
	add("text of 125, 126 and 127", "text text text "+done, masked(text, make([]byte, 125)), masked(text, make([]byte, 126)), masked(text, make([]byte, 127)), bye)
	add("binary", "close:1003 end", masked(0x82, []byte("hello")))
	add("binary in fragments", "close:1003 end", masked(0x02, []byte("hel")), masked(cont, []byte("lo")))
	for op := byte(3); op < 16; op++ {
		if op < 8 || op > 10 {
			add(fmt.Sprintf("opcode %d", op), "close:1002 end", masked(0x80|op, []byte("x")))
		}
	}
	add("fragments", "text "+done, masked(0x01, []byte("hel")), masked(0x00, nil), masked(cont, []byte("lo")), bye)
	add("a ping amid fragments", "pong:1:p text "+done, masked(0x01, []byte("hel")), masked(0x89, []byte("p")), masked(cont, []byte("lo")), bye)
	add("a pong amid fragments", "text "+done, masked(0x01, []byte("hel")), masked(0x8A, []byte("p")), masked(cont, []byte("lo")), bye)
	add("a close amid fragments", done, masked(0x01, []byte("hel")), bye)
	add("a continuation of nothing", "close:1002 end", masked(cont, []byte("lo")))
	add("a continuation after a whole message", "text close:1002 end", masked(text, []byte("x")), masked(cont, []byte("lo")))
	add("text amid fragments", "close:1002 end", masked(0x01, []byte("hel")), masked(text, []byte("lo")))
	add("a fragmented ping", "close:1002 end", masked(0x09, []byte("hel")), masked(0x80, []byte("lo")))
	add("a fragmented close", "close:1002 end", masked(0x08, []byte{3, 232}))
	// 2: pings and pongs.
	for _, n := range []int{0, 1, 125} {
		add(fmt.Sprintf("a ping of %d", n), strings.TrimRight(fmt.Sprintf("pong:%d:%s", n, strings.Repeat("p", min(n, 8))), "")+" "+done, masked(0x89, bytes.Repeat([]byte("p"), n)), bye)
	}
	add("a ping of 126", "close:1002 end", masked(0x89, make([]byte, 126)))
	add("a pong that nobody asked for", done, masked(0x8A, []byte("p")), bye)
	add("a pong of 126", "close:1002 end", masked(0x8A, make([]byte, 126)))
	// 3: reserved bits.
	for _, bits := range []byte{0x10, 0x20, 0x40, 0x70} {
		add(fmt.Sprintf("bits %x of text", bits), "close:1002 end", masked(text|bits, []byte("x")))
		add(fmt.Sprintf("bits %x of a ping", bits), "close:1002 end", masked(0x89|bits, []byte("x")))
		add(fmt.Sprintf("bits %x of a close", bits), "close:1002 end", masked(0x88|bits, []byte{3, 232}))
		add(fmt.Sprintf("bits %x of a continuation", bits), "close:1002 end", masked(0x01, []byte("x")), masked(cont|bits, []byte("x")))
	}
	// 6: UTF-8, also split in mid-character.
	const kosme = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"
	add("UTF-8", "text "+done, masked(text, []byte(kosme)), bye)
	add("UTF-8 split in mid-character", "text "+done, masked(0x01, []byte(kosme[:4])), masked(cont, []byte(kosme[4:])), bye)
	for name, bad := range map[string]string{
		"cut off": kosme[:3], "a surrogate": "\xed\xa0\x80", "overlong": "\xc0\xaf", "too high": "\xf4\x90\x80\x80",
		"a lone continuation": "\x80", "0xff": "a\xffb", "no continuation": "\xe2\x28\xa1",
	} {
		add("bad UTF-8: "+name, "close:1007 end", masked(text, []byte(bad)))
		add("bad UTF-8 in fragments: "+name, "close:1007 end", masked(0x01, []byte("good"+bad[:1])), masked(cont, []byte(bad[1:])))
	}
	add("a binary message need not be UTF-8", "close:1003 end", masked(0x82, []byte("\xff")))
	// 7: closing.
	add("close without a code", "close end", masked(0x88, nil))
	add("half a code", "close:1002 end", masked(0x88, []byte{3}))
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		add(fmt.Sprintf("code %d", code), fmt.Sprintf("close:%d end", code), closeFrame(code, "why not"))
	}
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		add(fmt.Sprintf("bad code %d", code), "close:1002 end", closeFrame(code, "why not"))
	}
	add("a long reason", done, closeFrame(1000, strings.Repeat("*", 123)))
	add("too long a reason", "close:1002 end", closeFrame(1000, strings.Repeat("*", 124)))
	add("a reason that is not UTF-8", "close:1007 end", closeFrame(1000, "\xff"))
	add("nothing counts after a close", done, bye, masked(0x89, []byte("p")), masked(text, []byte("x")))
	// 9 and 10: sizes.
	add("too large", "close:1009 end", sized(text, limit+1, nil))
	add("too large in fragments", "close:1009 end", masked(0x01, make([]byte, limit)), sized(cont, 1, nil))
	add("far too large", "close:1009 end", sized(text, 1<<40, nil))
	add("a size with its highest bit", "close:1002 end", []byte{0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4})
	add("a size of two bytes that needs one", "close:1002 end", []byte{0x81, 0xFE, 0, 5, 1, 2, 3, 4})
	add("a size of eight bytes that needs two", "close:1002 end", []byte{0x81, 0xFF, 0, 0, 0, 0, 0, 0, 1, 0, 1, 2, 3, 4})
	add("not masked", "close:1002 end", []byte{0x81, 1, 'x'})
	return cases
}

type socketCase struct {
	name, want string
	sent       []byte
}

func TestSocketCases(t *testing.T) { onEverySocketPath(t, socketCasesOn) }

func socketCasesOn(t *testing.T, on path) {
	base := on.serve(t, app.Config{Topics: []freshet.Topic{pushed("log", freshet.KindEvent)}})
	for path, limit := range map[string]int{"/live": 64 << 10, "/live/log": 4 << 10} {
		for _, c := range socketCases(limit) {
			want := strings.ReplaceAll(c.want, "text", "error")
			if before, _, ok := strings.Cut(c.want, "text"); ok && path != "/live" {
				want = before + "close:1008 end"
			}
			for _, pieces := range []int{1 << 20, 3} {
				if pieces < len(c.sent)/200 {
					continue // it would take long
				}
				if got := rawOpen(t, base+path, "").heard(c.sent, pieces); got != want {
					t.Fatalf("%s of %s in pieces of %d: %s; want %s", c.name, path, pieces, got, want)
				}
			}
		}
	}
}

// A handshake that is not right is answered as HTTP, with what is wrong.
func TestSocketHandshake(t *testing.T) {
	base := serve(t, app.Config{Topics: []freshet.Topic{pushed("log", freshet.KindEvent)}, CORS: app.CORSConfig{Origins: []string{"https://app.example.com", "https://*.example.org"}}})
	host := strings.TrimPrefix(base, "http://")
	for _, tt := range []struct {
		name, headers string
		status        int
		says          string
	}{
		{"right", handshake, 101, ""},
		{"no key", strings.Replace(handshake, "Sec-WebSocket-Key", "X-Key", 1), 400, "Sec-WebSocket-Key"},
		{"a short key", strings.Replace(handshake, "dGhlIHNhbXBsZSBub25jZQ==", "dGhl", 1), 400, "Sec-WebSocket-Key"},
		{"no Connection", strings.Replace(handshake, "Connection: keep-alive, Upgrade", "Connection: keep-alive", 1), 400, "Connection"},
		{"another version", strings.Replace(handshake, "Version: 13", "Version: 8", 1), 426, "Sec-WebSocket-Version"},
		{"no version", strings.Replace(handshake, "Sec-WebSocket-Version: 13\r\n", "", 1), 426, "Sec-WebSocket-Version"},
		{"our own page", handshake + "Origin: http://" + host + "\r\n", 101, ""},
		{"a page that may", handshake + "Origin: https://app.example.com\r\n", 101, ""},
		{"a page of a pattern", handshake + "Origin: https://a.example.org\r\n", 101, ""},
		{"another page", handshake + "Origin: https://evil.example.com\r\n", 403, "cors.origins"},
		{"a page of nowhere", handshake + "Origin: null\r\n", 403, "cors.origins"},
		{"a page of another port", handshake + "Origin: http://127.0.0.1:1\r\n", 403, "cors.origins"},
	} {
		for _, path := range []string{"/live/log", "/live", "/live/none"} {
			_, resp := rawDial(t, base+path, tt.headers)
			body := ""
			if resp.StatusCode != http.StatusSwitchingProtocols {
				b, _ := io.ReadAll(resp.Body)
				body = string(b)
			}
			if resp.StatusCode != tt.status || !strings.Contains(body, tt.says) {
				t.Errorf("%s at %s: %s %s; want %d that says %s", tt.name, path, resp.Status, body, tt.status, tt.says)
			}
			if tt.status == 426 && resp.Header.Get("Sec-WebSocket-Version") != "13" {
				t.Errorf("%s: the answer does not say which version there is", tt.name)
			}
		}
	}
}
