package websocket

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"

	"freshet/internal/flow/transport/deflate"
)

// agreed is what is answered to a client whose permessage-deflate is taken (RFC 7692, 7.1): no message needs
// another to be inflated, in either direction. So what is compressed once serves every connection, and a
// connection keeps no window.
const agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// offersDeflate says whether one of the client's offers is one that can be taken. Messages are compressed with
// the window of 32 KiB, so one that wants a smaller one is not.
func offersDeflate(offers []string) bool {
	for offer := range strings.SplitSeq(strings.Join(offers, ","), ",") {
		if isTakeable(offer) {
			return true
		}
	}
	return false
}

func isTakeable(offer string) bool {
	name, params, some := strings.Cut(offer, ";")
	if strings.TrimSpace(name) != "permessage-deflate" {
		return false
	}
	if !some {
		return true
	}
	seen := map[string]bool{}
	for param := range strings.SplitSeq(params, ";") {
		name, value, has := strings.Cut(param, "=")
		name, value = strings.TrimSpace(name), strings.Trim(strings.TrimSpace(value), `"`)
		if seen[name] {
			return false
		}
		seen[name] = true
		switch {
		case name == "server_no_context_takeover" && !has, name == "client_no_context_takeover" && !has:
		case name == "client_max_window_bits" && (!has || isWindow(value)):
		case name == "server_max_window_bits" && value == "15": // ours
		default:
			return false
		}
	}
	return true
}

func isWindow(bits string) bool {
	switch bits {
	case "8", "9", "10", "11", "12", "13", "14", "15":
		return true
	}
	return false
}

// tail is what a sender leaves out at the end of a compressed message, and the end of the deflate stream.
const (
	tail   = "\x00\x00\xff\xff"
	theEnd = "\x01\x00\x00\xff\xff"
)

// worthIt is from how many bytes on a message is compressed.
const worthIt = 200

// A deflater compresses and inflates. It keeps what it needs for that, which is large.
type deflater struct {
	writers deflate.Deflater
	readers sync.Pool
}

// deflate compresses a message by itself; ok is false where that does not make it smaller.
func (d *deflater) deflate(plain []byte) (compressed []byte, ok bool) {
	if len(plain) < worthIt {
		return nil, false
	}
	compressed = bytes.TrimSuffix(d.writers.Deflate(plain), []byte(tail))
	return compressed, len(compressed) < len(plain)
}

// inflate is a client's compressed message, of at most so many bytes.
func (d *deflater) inflate(compressed []byte, limit int) ([]byte, error) {
	from := io.MultiReader(bytes.NewReader(compressed), strings.NewReader(tail), strings.NewReader(theEnd))
	r, ok := d.readers.Get().(io.Reader)
	if !ok {
		r = flate.NewReader(from)
	} else if err := r.(flate.Resetter).Reset(from, nil); err != nil {
		return nil, err
	}
	defer d.readers.Put(r)
	plain, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	switch {
	case len(plain) > limit:
		return nil, closing(CodeTooLarge, "a message may have %d bytes", limit)
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, closing(CodeInvalid, "a compressed message does not inflate")
	case err != nil:
		return nil, closing(CodeInvalid, "a compressed message is cut off")
	}
	return plain, nil
}
