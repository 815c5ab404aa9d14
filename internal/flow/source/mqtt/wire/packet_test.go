package wire_test

import (
	"bufio"
	"bytes"
	"testing"

	"freshet/internal/flow/source/mqtt/wire"
)

// Whatever a server sends, no more memory is asked for than a packet may need, and nothing breaks.
func FuzzPacket(f *testing.F) {
	f.Add([]byte{0x20, 3, 0, 0, 0})
	f.Add([]byte{0x34, 8, 0, 1, 'a', 0, 1, 0, '{', '}'})
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f})
	f.Add([]byte{0xe0, 1, 0x8e})
	f.Add([]byte{0x62, 3, 0, 1, 0})
	f.Fuzz(func(_ *testing.T, data []byte) {
		r := bufio.NewReader(bytes.NewReader(data))
		for err := error(nil); err == nil; {
			_, err = wire.Read(r, 1<<10)
		}
	})
}
