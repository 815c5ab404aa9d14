package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/eclipse/paho.golang/packets"

	"freshet"
	"freshet/internal/flow/source"
)

// ErrMalformed says that what came is not a packet of MQTT 5.
var ErrMalformed = errors.New("not a packet of MQTT 5")

// Read reads a packet of at most so many bytes after its fixed header: memory is asked for only then.
func Read(r *bufio.Reader, most int) (*packets.ControlPacket, error) {
	first, err := r.ReadByte()
	if err != nil {
		return nil, err //nolint:wrapcheck // source.FaultOf knows it
	}
	if !proper(first) {
		return nil, ErrMalformed // without waiting for as much as it seems to announce
	}
	header, length := []byte{first}, 0
	for shift := 0; ; shift += 7 {
		if shift > 21 {
			return nil, ErrMalformed
		}
		b, err := r.ReadByte()
		if err != nil {
			return nil, err //nolint:wrapcheck // source.FaultOf knows it
		}
		header = append(header, b)
		length |= int(b&0x7f) << shift
		if b < 0x80 {
			break
		}
	}
	if length > most {
		return nil, source.Faultf(freshet.FaultSize, "the server sent a packet that is larger than it was told to")
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err //nolint:wrapcheck // source.FaultOf knows it
	}
	p, err := packets.ReadPacket(io.MultiReader(bytes.NewReader(header), bytes.NewReader(body)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return p, nil
}

// proper says whether the first byte of a packet has the flags that its type has (MQTT 5, 2.1.3).
func proper(first byte) bool {
	flags := first & 0xf
	switch first >> 4 {
	case packets.PUBLISH:
		return flags&6 != 6 // there is no quality 3
	case packets.PUBREL, packets.SUBSCRIBE, packets.UNSUBSCRIBE:
		return flags == 2
	}
	return flags == 0
}
