package httppoller

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"freshet"
	"freshet/internal/settings"
	"freshet/jsonpatch"
)

type graphQL struct {
	Query     string          `json:"query" required:"true" range:"0..100000" doc:"The document with the operation, a query"`
	Variables json.RawMessage `json:"variables" references:"true" doc:"An object with the values of its variables, whose texts may say where a secret is"`
	Operation string          `json:"operationName" doc:"Which operation of the document is meant, where it has several"`
}

// longestGraphQL is how much of an error of GraphQL is told, in characters.
const longestGraphQL = 200

// graphQLErrors is what an answer of GraphQL says that went wrong; nil: nothing. Its first message is told, which by the
// specification, section 7.1.2, is a description for the developer who asked: without it nobody could mend the query.
func graphQLErrors(body []byte) *failure {
	errs, err := jsonpatch.Lookup(body, "/errors")
	if err != nil || string(errs) == "null" || string(errs) == "[]" {
		return nil
	}
	f := faultf(freshet.FaultFormat, "upstream's GraphQL answer has errors")
	f.err = fmt.Errorf("upstream says %.500s", errs)
	var all []struct{ Message string }
	if json.Unmarshal(errs, &all) == nil && len(all) > 0 && all[0].Message != "" {
		text := []rune(all[0].Message)
		f.fault.Message += fmt.Sprintf(": %q", string(text[:min(len(text), longestGraphQL)]))
		if more := len(all) - 1; more > 0 {
			f.fault.Message += fmt.Sprintf(", and %d more", more)
		}
	}
	return f
}

// mostTokens bounds how deep a document can be, and what it costs to read one.
const mostTokens = 20_000

// wrong says which member is no query that can be asked, and why; "": none.
func (g *graphQL) wrong() (at, why string) {
	if g.Query == "" {
		return "", "" // which the tags find
	}
	document, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: g.Query}, mostTokens)
	if err != nil {
		where := ""
		said := err.Error()
		if e, ok := errors.AsType[*gqlerror.Error](err); ok {
			said = e.Message
			if len(e.Locations) > 0 {
				where = fmt.Sprintf(" in line %d, column %d", e.Locations[0].Line, e.Locations[0].Column)
			}
		}
		return "/query", fmt.Sprintf("is not a document of GraphQL%s: %.200s", where, said)
	}
	for _, o := range document.Operations {
		if o.Operation != ast.Query {
			return "/query", fmt.Sprintf("must hold queries alone: a %s is nothing to poll", o.Operation)
		}
	}
	switch n := len(document.Operations); {
	case n == 0:
		return "/query", "holds no query"
	case n > 1 && g.Operation == "":
		return "/operationName", fmt.Sprintf("is required: the document holds %d queries", n)
	}
	meant := document.Operations[0]
	if g.Operation != "" {
		i := slices.IndexFunc(document.Operations, func(o *ast.OperationDefinition) bool { return o.Name == g.Operation })
		if i < 0 {
			return "/operationName", fmt.Sprintf("%.60q is not the name of a query of the document", g.Operation)
		}
		meant = document.Operations[i]
	}
	var given map[string]json.RawMessage
	_ = json.Unmarshal(g.Variables, &given) // what is no object is found elsewhere
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if meant.VariableDefinitions.ForName(name) == nil {
			return settings.Pointer("variables", name), "is of no use: the query declares no such variable"
		}
	}
	return "", ""
}

// ask makes the request that the GraphQL over HTTP specification, section 5.4, describes.
func (g *graphQL) ask(c *config, v *settings.Verdict) {
	if c.Method != "" && c.Method != http.MethodPost {
		v.Say("/method", "must be POST with graphql, or left out")
	}
	if c.Format != "json" {
		v.Say("/format", "must be json with graphql, whose answers are")
	}
	if at, wrong := g.wrong(); wrong != "" {
		v.Say("/graphql"+at, "%s", wrong)
	}
	variables := g.Variables
	if string(variables) == "null" {
		variables = nil
	}
	if variables != nil && variables[0] != '{' {
		v.Say("/graphql/variables", "must be an object")
		return
	}
	body, err := json.Marshal(struct {
		Query     string          `json:"query"`
		Variables json.RawMessage `json:"variables,omitempty"`
		Operation string          `json:"operationName,omitempty"`
	}{g.Query, variables, g.Operation})
	if err != nil {
		v.Say("/graphql", "cannot be sent: %v", err)
		return
	}
	c.Method, c.Body = http.MethodPost, body
	if c.PayloadPointer == "" {
		c.PayloadPointer = "/data"
	}
}
