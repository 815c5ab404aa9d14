package api

import (
	_ "embed"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"freshet"
)

// errorsDocument explains each type of problem below a heading that is its slug.
//
//go:embed errors.md
var errorsDocument string

// A ProblemType is what all answers with one type of problem have in common.
type ProblemType struct {
	Slug    string `json:"slug"` // the last part of Type
	Type    string `json:"type"`
	Status  int    `json:"status"`
	Title   string `json:"title"`
	Meaning string `json:"meaning"` // what it means, and what to do; Markdown
}

// ProblemTypes are the types of problems that there are, in the order of errors.md.
func ProblemTypes() []ProblemType {
	_, sections, _ := strings.Cut(errorsDocument, "\n## ")
	var all []ProblemType
	for section := range strings.SplitSeq(sections, "\n## ") {
		slug, text, _ := strings.Cut(section, "\n")
		for _, k := range problems {
			if k.slug == slug {
				meaning := strings.TrimPrefix(strings.TrimSpace(text), strconv.Itoa(k.status)+". ")
				all = append(all, ProblemType{slug, typeBase + slug, k.status, k.err.Error(), meaning})
				break
			}
		}
	}
	return all
}

// listErrors answers with everything that can go wrong: in streams, and as the answer to a request.
func listErrors(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, http.StatusOK, map[string]any{"items": freshet.FaultKinds(), "problems": ProblemTypes()})
}

// getError answers with what a code means, or the slug of a type of problem.
func getError(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("code")
	if code, err := strconv.Atoi(name); err == nil {
		if kind, ok := freshet.KindOfFault(code); ok {
			return answer(w, http.StatusOK, kind)
		}
	}
	for _, p := range ProblemTypes() {
		if p.Slug == name {
			return answer(w, http.StatusOK, p)
		}
	}
	return fmt.Errorf("%w: there is no error with the code %.60q: /v1/errors lists them", errResource, name)
}

// explain answers with what errors.md says about a type of problem.
func explain(w http.ResponseWriter, r *http.Request) error {
	heading := "## " + r.PathValue("slug") + "\n"
	_, section, ok := strings.Cut(errorsDocument, "\n"+heading)
	if !ok {
		return fmt.Errorf("%w: there is no problem of the type %.100q", errResource, r.PathValue("slug"))
	}
	section, _, _ = strings.Cut(section, "\n## ")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(heading + strings.TrimRight(section, "\n") + "\n")) // a client that has gone does not want it
	return nil
}
