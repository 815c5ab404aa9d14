// Package deflate compresses what many connections are sent, once for all of them.
package deflate

import (
	"bytes"
	"sync"

	"github.com/klauspost/compress/flate"
)

// A Deflater compresses. It keeps the compressors, which are large. It is safe for concurrent use, and its zero value
// is ready.
type Deflater struct{ idle sync.Pool }

// Deflate compresses by itself, up to a byte boundary (RFC 1951; a sync flush), so that what was made
// once can stand in the stream of any connection: no block looks back beyond its own start.
func (d *Deflater) Deflate(plain []byte) []byte {
	var b bytes.Buffer
	w, ok := d.idle.Get().(*flate.Writer)
	var err error
	if ok {
		w.Reset(&b)
	} else {
		w, err = flate.NewWriter(&b, flate.DefaultCompression)
	}
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		panic(err) // a known level and a bytes.Buffer do not fail
	}
	d.idle.Put(w)
	return b.Bytes()
}
