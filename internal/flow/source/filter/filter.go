// Package filter runs filters of jq on what sources obtain. A filter may want all the memory and all the time there is,
// and the library looks at its context only between two operations, so a server runs filters in processes of their own,
// which it can end: Children.
package filter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/itchyny/gojq"
)

// Takes bounds the time that a filter may take for one value.
const Takes = time.Second

// What a filter may end with, besides its own error.
var (
	ErrNothing = errors.New("the filter gives nothing")
	ErrSeveral = errors.New("the filter gives more than one value")
	ErrNotJSON = errors.New("the filter gives what is no JSON")
	ErrLarge   = errors.New("what the filter gives is too large")
	ErrSlow    = errors.New("the filter took too long")
	ErrMemory  = errors.New("the filter took too much memory")
)

// A Runner applies a filter to a JSON value and returns the one value, of at most limit bytes, that it makes of it.
type Runner interface {
	Run(ctx context.Context, filter string, value []byte, limit int64) ([]byte, error)
}

// Check says what is wrong with a filter.
func Check(filter string) error {
	_, err := compile(filter)
	return err
}

// compile parses a filter. It sees no environment and loads no modules.
func compile(filter string) (*gojq.Code, error) {
	query, err := gojq.Parse(filter)
	if err != nil {
		return nil, fmt.Errorf("is not a filter of jq: %w", err)
	}
	code, err := gojq.Compile(query, gojq.WithEnvironLoader(func() []string { return nil }))
	if err != nil {
		return nil, fmt.Errorf("is not a filter of jq: %w", err)
	}
	return code, nil
}

// Here runs filters in this process, where nothing bounds the memory that they take, and the time only between two of
// their operations. It is for processes that do nothing else, and for tests.
type Here struct{ compiled map[string]*gojq.Code }

// mostCompiled is how many filters are kept compiled.
const mostCompiled = 256

func (h *Here) code(filter string) (*gojq.Code, error) {
	if code, ok := h.compiled[filter]; ok {
		return code, nil
	}
	code, err := compile(filter)
	if err != nil {
		return nil, err
	}
	if h.compiled == nil || len(h.compiled) >= mostCompiled {
		h.compiled = map[string]*gojq.Code{}
	}
	h.compiled[filter] = code
	return code, nil
}

// Run is that of Runner. Only one may run at a time.
func (h *Here) Run(ctx context.Context, filter string, value []byte, limit int64) ([]byte, error) {
	code, err := h.code(filter)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	var in any
	if err := dec.Decode(&in); err != nil {
		return nil, fmt.Errorf("read the value: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, Takes)
	defer cancel()
	results := code.RunWithContext(ctx, in)
	first, ok := results.Next()
	if !ok {
		return nil, ErrNothing
	}
	if err, failed := first.(error); failed {
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, ErrSlow
		}
		return nil, err
	}
	if _, more := results.Next(); more {
		return nil, ErrSeveral
	}
	out, err := gojq.Marshal(first)
	switch {
	case err != nil:
		return nil, ErrNotJSON
	case int64(len(out)) > limit:
		return nil, ErrLarge
	}
	return out, nil
}
