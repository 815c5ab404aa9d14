package websocket

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
)

// masked is a frame as a client sends it.
func masked(first byte, payload []byte) []byte {
	b := appendHeader(nil, first, len(payload))
	b[1] |= maskBit
	mask := []byte{0x37, 0xfa, 0x21, 0x3d}
	b = append(b, mask...)
	for i, c := range payload {
		b = append(b, c^mask[i&3])
	}
	return b
}

// heard is what an ear makes of bytes that come in pieces of so many.
func heard(stream []byte, piece, limit int) string {
	var said bytes.Buffer
	var d deflater
	e := &ear{parser: parser{limit: limit, deflate: true}, deflater: &d, text: func(b []byte) error {
		if len(b) > limit {
			return fmt.Errorf("a message of %d bytes", len(b))
		}
		fmt.Fprintf(&said, "text %q\n", b)
		return nil
	}}
	gone := false
	var all []byte
	for len(stream) > 0 {
		n := min(piece, len(stream))
		answer, err := e.Hear(stream[:n])
		stream = stream[n:]
		all = append(all, answer...)
		if gone && (err != nil || answer != nil) {
			return "something is said after the end"
		}
		if err != nil {
			fmt.Fprintf(&said, "%v\n", err)
			gone = true
		}
	}
	fmt.Fprintf(&said, "%x", all)
	return said.String()
}

// What a client says is the same in whatever pieces it comes, and nothing is larger than the limit.
func FuzzEar(f *testing.F) {
	var d deflater
	compressed, _ := d.deflate(bytes.Repeat([]byte("compress me "), 100))
	f.Add(masked(finBit|opText, []byte("hello")))
	f.Add(append(masked(opText, []byte("h\xc3")), append(masked(finBit|opPing, []byte("p")), masked(finBit|opContinuation, []byte("\xa9"))...)...))
	f.Add(masked(finBit|opClose, append(binary.BigEndian.AppendUint16(nil, 1000), "bye"...)))
	f.Add(masked(finBit|rsv1Bit|opText, compressed))
	f.Add(masked(finBit|opText, bytes.Repeat([]byte("x"), 3000)))
	f.Add([]byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, stream []byte) {
		whole := heard(stream, len(stream)+1, 2048)
		for _, piece := range []int{1, 2, 3, 7, 16} {
			if got := heard(stream, piece, 2048); got != whole {
				t.Fatalf("in pieces of %d:\n%s\nas a whole:\n%s", piece, got, whole)
			}
		}
	})
}

// What is compressed inflates to the same, and to nothing larger than allowed.
func FuzzDeflate(f *testing.F) {
	f.Add(bytes.Repeat([]byte("compress me "), 100), []byte("no deflate stream"))
	f.Fuzz(func(t *testing.T, plain, junk []byte) {
		var d deflater
		if compressed, ok := d.deflate(plain); ok {
			if got, err := d.inflate(compressed, len(plain)); err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("inflated: %v", err)
			}
			if _, err := d.inflate(compressed, len(plain)-1); err == nil {
				t.Fatal("a message over the limit was inflated")
			}
		}
		if got, err := d.inflate(junk, 100); err == nil && len(got) > 100 {
			t.Fatalf("%d bytes came of junk", len(got))
		}
	})
}

func TestOffers(t *testing.T) {
	for offer, want := range map[string]bool{
		"": false, "permessage-deflate": true, "permessage-deflate; client_max_window_bits": true,
		"permessage-deflate; client_max_window_bits=9": true, "permessage-deflate; client_max_window_bits=16": false,
		"permessage-deflate; server_max_window_bits=15": true, `permessage-deflate; server_max_window_bits="15"`: true,
		"permessage-deflate; server_max_window_bits=10":                                    false,
		"permessage-deflate; server_max_window_bits":                                       false,
		"permessage-deflate; server_max_window_bits=10, permessage-deflate":                true,
		"permessage-deflate; server_no_context_takeover; client_no_context_takeover":       true,
		"permessage-deflate; server_no_context_takeover; server_no_context_takeover":       false,
		"permessage-deflate; server_no_context_takeover=1":                                 false,
		"permessage-deflate; mux":                                                          false,
		"permessage-deflate;":                                                              false,
		"x-webkit-deflate-frame":                                                           false,
		"permessage-bzip2, permessage-deflate; client_max_window_bits; mux, x":             false,
		"permessage-deflate ; client_max_window_bits ; server_no_context_takeover , other": true,
	} {
		if got := offersDeflate([]string{offer}); got != want {
			t.Errorf("%q: %v; want %v", offer, got, want)
		}
	}
}
