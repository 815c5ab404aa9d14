package mqtt

import "bufio"

// ReadPacket is readPacket; the packet itself does not matter.
func ReadPacket(r *bufio.Reader, most int) error {
	_, err := readPacket(r, most)
	return err
}
