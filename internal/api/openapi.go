package api

import (
	_ "embed"
	"fmt"
	"net/http"
	"sync"

	"github.com/goccy/go-yaml"
)

// openAPIDocument describes the whole surface in OpenAPI 3.1. Tests hold it to the handlers.
//
//go:embed openapi.yaml
var openAPIDocument []byte

func openAPIYAML() ([]byte, error) { return openAPIDocument, nil }

// openAPIJSON is the same as JSON, made once.
var openAPIJSON = sync.OnceValues(func() ([]byte, error) { //nolint:gochecknoglobals // a constant, computed
	document, err := yaml.YAMLToJSON(openAPIDocument)
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	return document, nil
})

// openAPI serves the description in one of its forms.
type openAPI struct {
	media    string
	document func() ([]byte, error)
}

func (o openAPI) serve(w http.ResponseWriter, _ *http.Request) error {
	document, err := o.document()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", o.media)
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(document) // a client that has gone does not want it
	return nil
}
