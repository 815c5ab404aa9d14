package httppoller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"freshet/internal/flow/source/filter"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"freshet"
)

// transformed is what the filter makes of a value: one value, within the limits.
func (p *poller) transformed(ctx context.Context, value []byte) ([]byte, *failure) {
	if p.Transform == "" {
		return value, nil
	}
	out, err := p.filters.Run(ctx, p.Transform, value, p.limit)
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, filter.ErrNothing):
		return nil, faultf(freshet.FaultFormat, "transform gives nothing for upstream's answer, instead of one value")
	case errors.Is(err, filter.ErrSeveral):
		return nil, faultf(freshet.FaultFormat, "transform gives more than one value for upstream's answer: put them into an array, as in [.[] | ...]")
	case errors.Is(err, filter.ErrNotJSON):
		return nil, faultf(freshet.FaultFormat, "transform gives what is no JSON")
	case errors.Is(err, filter.ErrLarge):
		return nil, faultf(freshet.FaultSize, "what transform gives is larger than limits.payload, %v", freshet.Bytes(p.limit))
	case errors.Is(err, filter.ErrSlow):
		return nil, faultf(freshet.FaultFormat, "transform took longer than %v", freshet.Duration(filter.Takes))
	case errors.Is(err, filter.ErrMemory):
		return nil, faultf(freshet.FaultFormat, "transform took too much memory")
	}
	f := faultf(freshet.FaultFormat, "transform fails for upstream's answer")
	f.err = err // may hold what upstream sent
	return nil, f
}

// guard protects topics from poisoned data.
type guard struct {
	schema *jsonschema.Schema
	shrink bool

	size     int    // of the document that was taken last
	shrunken digest // of one that lost most, and has to be seen twice
}

// schemaURL is what a schema is called. A name alone would be one of a file, with the folder of the server in it.
const schemaURL = "topic:///schema"

// compileSchema reads a JSON Schema, which refers to nothing outside of itself.
func compileSchema(text json.RawMessage) (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{})
	if err := c.AddResource(schemaURL, document); err != nil {
		return nil, fmt.Errorf("is not a JSON Schema: %w", err)
	}
	schema, err := c.Compile(schemaURL)
	if err != nil {
		return nil, fmt.Errorf("is not a JSON Schema: %w", err)
	}
	return schema, nil
}

// shrinkTo is the part of its size that a document may lose and be taken at once.
const shrinkTo = 10

// admits says what keeps a value from being taken.
func (g *guard) admits(value []byte, digests digester) *failure {
	if g.schema != nil {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
		if err == nil {
			err = g.schema.Validate(v)
		}
		if err != nil {
			f := faultf(freshet.FaultFormat, "upstream's answer is not what the schema demands%s", where(err))
			f.err = err
			return f
		}
	}
	if g.shrink && len(value)*shrinkTo < g.size {
		d := digests.of(value)
		if g.shrunken == d {
			return nil
		}
		g.shrunken = d
		return faultf(freshet.FaultFormat, "upstream's answer has lost more than 90 %% of the document: it is taken when the next poll says the same (shrinkGuard)")
	}
	return nil
}

// where is the place of the first mistake that a validator found, by JSON Pointer, and the keyword that it is against.
func where(err error) string {
	v, ok := errors.AsType[*jsonschema.ValidationError](err)
	for ok && len(v.Causes) > 0 {
		v = v.Causes[0]
	}
	if !ok {
		return ""
	}
	var text strings.Builder
	for i, token := range v.InstanceLocation {
		if i == 0 {
			text.WriteString(" at ")
		}
		text.WriteString("/" + token)
	}
	if keyword := v.ErrorKind.KeywordPath(); len(keyword) > 0 {
		text.WriteString(" (" + strings.Join(keyword, "/"))
		if r, ok := v.ErrorKind.(*kind.Required); ok {
			text.WriteString(": " + strings.Join(r.Missing, ", "))
		}
		text.WriteString(")")
	}
	return fmt.Sprintf("%.300s", text.String())
}

// took takes note of a value that was taken.
func (g *guard) took(value []byte) { g.size, g.shrunken = len(value), digest{} }
