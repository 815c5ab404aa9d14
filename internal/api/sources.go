package api

import (
	"fmt"
	"net/http"
	"slices"

	"freshet"
)

// sourceTypes answers with all types of source and their options.
func sourceTypes(all []freshet.SourceType) func(w http.ResponseWriter, r *http.Request) error {
	return func(w http.ResponseWriter, _ *http.Request) error {
		return answer(w, http.StatusOK, map[string]any{"items": all})
	}
}

// sourceType answers with one.
func sourceType(all []freshet.SourceType) func(w http.ResponseWriter, r *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		name := r.PathValue("type")
		i := slices.IndexFunc(all, func(t freshet.SourceType) bool { return t.Name == name })
		if i < 0 {
			return fmt.Errorf("%w: there is no type of source %.60q: /v1/sources lists them", errResource, name)
		}
		return answer(w, http.StatusOK, all[i])
	}
}
