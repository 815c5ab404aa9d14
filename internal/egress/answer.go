package egress

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
)

// maxInterim is how many answers 1xx may come before the one that counts.
const maxInterim = 5

// Answers reads the answers of HTTP/1.1 that come over a connection.
type Answers struct {
	from  io.Reader
	in    *bufio.Reader
	left  int64 // bytes that may still be read
	begun bool  // something was read of the answer
}

// Reset has it read from another connection; nil: from none.
func (a *Answers) Reset(from io.Reader) {
	a.from = from
	if a.in == nil {
		a.in = bufio.NewReader(a)
	}
	a.in.Reset(a)
}

// Read is part of io.Reader, for what reads through it.
func (a *Answers) Read(b []byte) (int, error) {
	if a.left <= 0 {
		return 0, fmt.Errorf("the answer has a header of more than %d bytes", maxResponseHeader)
	}
	n, err := a.from.Read(b[:min(int64(len(b)), a.left)])
	a.left -= int64(n)
	a.begun = a.begun || n > 0
	return n, err //nolint:wrapcheck // it passes on
}

// Empty says whether nothing was read that belongs to no answer.
func (a *Answers) Empty() bool { return a.in.Buffered() == 0 }

// Begun says whether anything came of the answer that was asked for last.
func (a *Answers) Begun() bool { return a.begun }

// Next is the answer to a request once its header is there, 64 KiB at most. Interim ones are passed over. The request
// may be nil: it is a GET, or one whose answers look the same. Errors quote a line of the answer at most.
func (a *Answers) Next(r *http.Request) (*http.Response, error) {
	a.left, a.begun = maxResponseHeader, false
	for range maxInterim {
		resp, err := http.ReadResponse(a.in, r)
		switch {
		case err != nil:
			return nil, fmt.Errorf("read the answer: %w", err)
		case resp.StatusCode == http.StatusSwitchingProtocols:
			return nil, errors.New("the protocol was changed, which nobody asked for")
		case resp.StatusCode >= http.StatusOK:
			a.left = math.MaxInt64
			return resp, nil
		}
	}
	return nil, fmt.Errorf("there were more than %d interim answers", maxInterim)
}
