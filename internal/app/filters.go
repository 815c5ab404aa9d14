package app

import (
	"io"

	"freshet/internal/flow/source/filter"
)

// ServeFilters is the work of a process that Config.FilterCommand makes, with its standard input and output. It does
// not return.
func ServeFilters(in io.Reader, out io.Writer) { filter.Serve(in, out) }
