package filter

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"syscall"
	"time"
)

// A request is what a child is asked, and an answer what it says: first that it is ready, then one to each request.
type request struct {
	Filter string
	Value  []byte
	Limit  int64
}

type answer struct {
	Value []byte
	Code  int    // of codes; 0: it worked
	Text  string // of an error of the filter's own
}

// codes are the errors that have no text of their own.
var codes = []error{ErrNothing, ErrSeveral, ErrNotJSON, ErrLarge, ErrSlow, ErrMemory} //nolint:gochecknoglobals // a constant table

// ownError is the code of an error of the filter itself.
const ownError = -1

const (
	// tooMuch is how a child ends that has taken too much memory.
	tooMuch = 77
	// memory is how much a child may take, beside what a value of that size takes as a tree.
	memory  = 256 << 20
	perByte = 32
	// look is how often it looks at what it takes.
	look = 2 * time.Millisecond
)

// Serve is the work of a child: it answers requests until there are no more, or it has taken too much memory. It never
// returns.
func Serve(in io.Reader, out io.Writer) {
	// The server ends its children by closing their input; what a terminal or a supervisor sends to all is for the server.
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0))) // so that the watch is not kept waiting
	requests := make(chan request)
	go func() {
		for dec := gob.NewDecoder(in); ; {
			var r request
			if err := dec.Decode(&r); err != nil {
				os.Exit(0) // the server has gone, or wants no more, whatever is being done
			}
			requests <- r
		}
	}()
	var may atomic.Int64
	may.Store(memory)
	go watch(&may)
	enc := gob.NewEncoder(out)
	say := func(a answer) {
		if err := enc.Encode(a); err != nil {
			os.Exit(0)
		}
	}
	say(answer{})
	here := &Here{}
	for r := range requests {
		if taken() > memory/4 {
			runtime.GC() // what the requests before have left is not this one's
		}
		may.Store(memory + perByte*int64(len(r.Value)))
		say(answerTo(here, r))
	}
}

func answerTo(here *Here, r request) answer {
	value, err := here.Run(context.Background(), r.Filter, r.Value, r.Limit)
	if err == nil {
		return answer{Value: value}
	}
	for i, known := range codes {
		if errors.Is(err, known) {
			return answer{Code: i + 1}
		}
	}
	return answer{Code: ownError, Text: fmt.Sprintf("%.500s", err.Error())}
}

// result is what an answer means.
func (a answer) result() ([]byte, error) {
	switch {
	case a.Code == 0:
		return a.Value, nil
	case a.Code > 0 && a.Code <= len(codes):
		return nil, codes[a.Code-1]
	}
	return nil, errors.New(a.Text)
}

// watch ends the process once it has taken more than it may.
func watch(may *atomic.Int64) {
	for range time.Tick(look) {
		if taken() > may.Load() {
			os.Exit(tooMuch)
		}
	}
}

// taken is the memory of all objects, those included that nobody needs any more.
func taken() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64()) //nolint:gosec // memory fits
}
