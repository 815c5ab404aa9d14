package api

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"freshet"
	"freshet/internal/catalog"
	"freshet/internal/search"
	"freshet/internal/strict"
)

// A page of a list of anything.
type page[T any] struct {
	Items []T   `json:"items"`
	Total int   `json:"total"` // on all pages
	Links links `json:"links"`
}

// links lead to the pages of a list, as absolute paths. There are always first and last, and Prev and
// Next where there are such pages.
type links struct {
	Self  string `json:"self"`
	First string `json:"first"`
	Prev  string `json:"prev,omitempty"`
	Next  string `json:"next,omitempty"`
	Last  string `json:"last"`
}

// writePage answers with a page.
func writePage[T any](w http.ResponseWriter, r *http.Request, items []T, number, size, total int) error {
	if items == nil {
		items = []T{}
	}
	p := page[T]{items, total, pages(r.URL, number, size, total)}
	w.Header().Set("Link", p.Links.header())
	return answer(w, http.StatusOK, p)
}

func (m *management) list(w http.ResponseWriter, r *http.Request) error {
	q, err := listQuery(r, catalog.ParseOrder, catalog.ParseSearch)
	if err != nil {
		return err
	}
	found, total := m.catalog.List(q, m.status)
	topics := make([]freshet.Topic, 0, len(found))
	for _, e := range found {
		topics = append(topics, e.Topic)
	}
	return writePage(w, r, topics, q.Page, q.PageSize, total)
}

// listQuery reads the parameters of a list.
func listQuery(r *http.Request, parseOrder func(string) (search.Order, error), parseSearch func(string) (search.Expression, error)) (q search.Query, err error) {
	if err := onlyParameters(r, "page", "pageSize", "sort", "search"); err != nil {
		return q, err
	}
	values := r.URL.Query()
	if q.Page, q.PageSize, err = pageOf(values); err != nil {
		return q, err
	}
	for _, s := range values["sort"] {
		o, err := parseOrder(s)
		if err != nil {
			return q, badParameter("sort", "%s", err)
		}
		q.Sort = append(q.Sort, o)
	}
	if s := values.Get("search"); s != "" {
		if q.Search, err = parseSearch(s); err != nil {
			return q, badParameter("search", "%s", err)
		}
	}
	return q, nil
}

// pageOf is the page that is asked for, and how many a page has.
func pageOf(values url.Values) (number, size int, err error) {
	if number, err = whole(values, "page", 1, 0); err != nil {
		return 0, 0, err
	}
	size, err = whole(values, "pageSize", search.DefaultPageSize, search.MaxPageSize)
	return number, size, err
}

// whole reads a whole number from 1 to most, which is no bound where it is 0.
func whole(values url.Values, name string, otherwise, most int) (int, error) {
	s := values.Get(name)
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(s)
	switch {
	case err != nil || n < 1:
		return 0, badParameter(name, "%.40q is not a whole number from 1", s)
	case most > 0 && n > most:
		return 0, badParameter(name, "%d is more than %d", n, most)
	}
	return n, nil
}

// onlyParameters refuses a query with parameters that are not known here, or with one that is no query.
func onlyParameters(r *http.Request, names ...string) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badParameter("query", "%s", err)
	}
	for name := range values {
		if slices.Contains(names, name) {
			continue
		}
		if near := strict.Near(name, names); near != "" {
			return badParameter(strconv.Quote(name), "is not known here: did you mean %q?", near)
		}
		if len(names) == 0 {
			return badParameter(strconv.Quote(name), "is not known here: there are none")
		}
		return badParameter(strconv.Quote(name), "is not known here: known are %s", strings.Join(names, ", "))
	}
	return nil
}

// pages makes the links around a page.
func pages(self *url.URL, number, size, total int) links {
	last := max(1, (total+size-1)/size)
	to := func(page int) string {
		values := self.Query()
		values.Set("page", strconv.Itoa(page))
		values.Set("pageSize", strconv.Itoa(size))
		return self.Path + "?" + values.Encode()
	}
	l := links{Self: to(number), First: to(1), Last: to(last)}
	if number > 1 {
		l.Prev = to(min(number-1, last))
	}
	if number < last {
		l.Next = to(number + 1)
	}
	return l
}

// header is the links as a Link field (RFC 8288).
func (l links) header() string {
	var all []string
	for _, link := range []struct{ rel, to string }{{"self", l.Self}, {"first", l.First}, {"prev", l.Prev}, {"next", l.Next}, {"last", l.Last}} {
		if link.to != "" {
			all = append(all, "<"+link.to+`>; rel="`+link.rel+`"`)
		}
	}
	return strings.Join(all, ", ")
}
