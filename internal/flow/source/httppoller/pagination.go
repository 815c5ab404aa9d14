package httppoller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"freshet"
	"freshet/internal/egress"
	"freshet/internal/settings"
	"freshet/jsonpatch"
)

// pagination says how the rest of a document is asked for that comes in pages. The names are the incumbent's.
type pagination struct {
	Mode     string     `json:"mode" required:"true" oneof:"page,offset,keyset,cursor" doc:"How a page is named: by its number, by the place of its first item, by the last key of the page before, or by a cursor that the page before gives"`
	Page     pageNumber `json:"page" when:"mode=page" doc:"The parameter of mode page"`
	PageSize size       `json:"pageSize" when:"mode=page,keyset,cursor" doc:"How many items a page of the modes page, keyset and cursor has"`
	Offset   itemOffset `json:"offset" when:"mode=offset" doc:"The parameter of mode offset"`
	Limit    limit      `json:"limit" when:"mode=offset" doc:"How many items a page of mode offset has"`
	Key      key        `json:"key" when:"mode=keyset" doc:"The parameter of mode keyset"`
	Cursor   cursor     `json:"cursor" when:"mode=cursor" doc:"The parameter of mode cursor"`
	Next     *nextPage  `json:"nextReference" doc:"Where an answer says what the next page is. Required in the modes keyset and cursor; without it the modes page and offset count, and end at a page with fewer items than were asked for"`
	MaxPages int        `json:"maxPages" default:"100" range:"1..10000" doc:"How many pages one poll may ask for; more are a fault. All pages together may have limits.payload"`
	Origins  []string   `json:"otherOrigins" address:"true" range:"0..16" doc:"Origins such as https://files.example.com to which a next page may lead, beside that of url. Headers and credentials are sent to none of them"`

	origins []*url.URL // Origins, parsed
}

type (
	pageNumber struct {
		Name    string `json:"parameterName" default:"page" doc:"Its name in the query"`
		Initial int    `json:"initial" default:"1" range:"0..1000000" doc:"The number of the first page"`
	}
	itemOffset struct {
		Name    string `json:"parameterName" default:"offset" doc:"Its name in the query"`
		Initial int    `json:"initial" default:"1" range:"0..1000000" doc:"The place of the first item"`
	}
	size struct {
		Name  string `json:"parameterName" default:"pageSize" doc:"Its name in the query; empty: it is not sent"`
		Value int    `json:"value" default:"100" range:"1..100000" doc:"Items on a page"`
	}
	limit struct {
		Name  string `json:"parameterName" default:"limit" doc:"Its name in the query; empty: it is not sent"`
		Value int    `json:"value" default:"100" range:"1..100000" doc:"Items on a page"`
	}
	key struct {
		Name string `json:"parameterName" default:"since_key" doc:"Its name in the query"`
	}
	cursor struct {
		Name string `json:"parameterName" default:"cursor" doc:"Its name in the query"`
	}
	nextPage struct {
		Location string `json:"location" default:"body" oneof:"body,header" doc:"In the answer's body, or in its Link header with rel=next (RFC 8288)"`
		Type     string `json:"type" default:"value" oneof:"uri,value" doc:"Of one in the body: the address of the next page, or the value of the parameter"`
		Pointer  string `json:"pointer" doc:"Of one in the body: where it is, as a JSON Pointer (RFC 6901) in which -1 is the last item of an array. Nothing there, null or an empty text: there is no next page"`
	}
)

// Check is what the tags cannot say.
func (g *pagination) Check(v *settings.Verdict) {
	n := g.Next
	switch {
	case n == nil && (g.Mode == "keyset" || g.Mode == "cursor"):
		v.Say("/nextReference", "is required in mode %s: where an answer says what comes next", g.Mode)
	case n == nil:
	case n.Location == "body" && n.Pointer == "":
		v.Say("/nextReference/pointer", "is required: where in the body the next page is named")
	case n.Location == "header" && n.Pointer != "":
		v.Say("/nextReference/pointer", "only a reference in the body has one")
	case !isPointer(n.Pointer):
		v.Say("/nextReference/pointer", "%.80q is not a JSON Pointer", n.Pointer)
	}
	if size, _ := g.size(); g.parameter() == "" {
		v.Say("/"+g.member()+"/parameterName", "must not be empty: each page is asked for by it")
	} else if size == g.parameter() {
		v.Say("/"+g.member()+"/parameterName", "%.60q is the parameter that says how many items a page has, too", size)
	}
	if len(g.Origins) > 0 && (n == nil || n.Location == "body" && n.Type == "value") {
		v.Say("/otherOrigins", "is of no use where no answer has the address of the next page, as nextReference of type uri has it")
	}
	for i, origin := range g.Origins {
		u, err := egress.ParseURL(origin)
		if err != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			v.Say("/otherOrigins/"+strconv.Itoa(i), "%.80q is not an origin such as https://files.example.com", origin)
			continue
		}
		g.origins = append(g.origins, u)
	}
}

// first is the address of the first page.
func (g *pagination) first(base *url.URL) *url.URL {
	u := base
	switch g.Mode {
	case "page":
		u = with(u, g.Page.Name, strconv.Itoa(g.Page.Initial))
	case "offset":
		u = with(u, g.Offset.Name, strconv.Itoa(g.Offset.Initial))
	}
	name, value := g.size()
	return with(u, name, strconv.Itoa(value))
}

// size is the parameter that says how many items a page has.
func (g *pagination) size() (name string, value int) {
	if g.Mode == "offset" {
		return g.Limit.Name, g.Limit.Value
	}
	return g.PageSize.Name, g.PageSize.Value
}

// parameter is the name of the one that names a page.
func (g *pagination) parameter() string {
	switch g.Mode {
	case "page":
		return g.Page.Name
	case "offset":
		return g.Offset.Name
	case "keyset":
		return g.Key.Name
	}
	return g.Cursor.Name
}

// member is the one that says what parameter is called.
func (g *pagination) member() string {
	if g.Mode == "keyset" {
		return "key"
	}
	return g.Mode
}

// with is a URL with a parameter of the query set, in place of any of that name; without a name the same.
func with(u *url.URL, name, value string) *url.URL {
	if name == "" {
		return u
	}
	changed := *u
	var kept []string
	for part := range strings.SplitSeq(u.RawQuery, "&") { // the rest keeps its spelling
		n, _, _ := strings.Cut(part, "=")
		if plain, err := url.QueryUnescape(n); part != "" && (err != nil || plain != name) {
			kept = append(kept, part)
		}
	}
	changed.RawQuery = strings.Join(append(kept, url.QueryEscape(name)+"="+url.QueryEscape(value)), "&")
	return &changed
}

// A page is one answer of a document that comes in several. It is kept for the poll that follows, in which
// upstream may say that it has not changed.
type page struct {
	valid validators
	raw   []byte // the answer's JSON
	links []string
}

// pages asks for all pages of a document and joins them.
func (p *poller) pages(ctx context.Context, base *url.URL) (*answer, *failure) {
	p.header = nil
	var got []page
	var items [][]byte
	total, changed := 0, false
	visited := map[string]bool{}
	for next := p.Pagination.first(base); next != nil; {
		switch {
		case visited[next.String()]:
			return nil, faultf(freshet.FaultFormat, "upstream's pages lead in a circle, by way of %s", egress.Show(next))
		case len(got) == p.Pagination.MaxPages:
			return nil, faultf(freshet.FaultSize, "upstream has more than %d pages (pagination.maxPages)", p.Pagination.MaxPages)
		}
		visited[next.String()] = true
		var before page
		if i := len(got); i < len(p.kept) && p.kept[i].valid.url == next.String() {
			before = p.kept[i]
		}
		pg, same, fail := p.page(ctx, next, before, p.limit-int64(total))
		if fail != nil {
			return nil, fail
		}
		part, n, fail := p.itemsOf(pg.raw)
		if fail != nil {
			return nil, fail
		}
		changed = changed || !same
		got, items, total = append(got, pg), append(items, part), total+len(pg.raw)
		if next, fail = p.nextPage(next, pg, n); fail != nil {
			return nil, fail
		}
	}
	changed = changed || len(got) != len(p.kept)
	p.fresh = got
	if !changed && p.last != nil {
		return &answer{notModified: true, header: p.header}, nil
	}
	return &answer{body: join(items), whole: true, header: p.header}, nil
}

// page asks for one page, and says whether it is the one of before.
func (p *poller) page(ctx context.Context, at *url.URL, before page, limit int64) (page, bool, *failure) {
	a, fail := p.fetch(ctx, at, asking{before.valid, limit, len(before.raw)})
	switch {
	case fail != nil:
		return page{}, false, fail
	case len(p.header) == 0:
		p.header = a.header
	}
	if a.notModified {
		return before, true, nil
	}
	raw, fail := p.decode(a)
	if fail != nil {
		return page{}, false, fail
	}
	return page{valid: a.valid, raw: raw, links: a.header.Values("Link")}, bytes.Equal(raw, before.raw), nil
}

// itemsOf are the items of a page, as JSON without the brackets around them, and how many they are. A page
// that is no array is one item.
func (p *poller) itemsOf(raw []byte) ([]byte, int, *failure) {
	value := raw
	if p.PayloadPointer != "" {
		var err error
		if value, err = jsonpatch.Lookup(raw, p.PayloadPointer); err != nil {
			return nil, 0, p.noPart(err)
		}
	}
	value = bytes.TrimSpace(value)
	if !json.Valid(value) {
		return nil, 0, p.noPart(errors.New("not JSON"))
	}
	if value[0] != '[' {
		return value, 1, nil
	}
	var all []json.RawMessage
	if err := json.Unmarshal(value, &all); err != nil {
		return nil, 0, p.noPart(err)
	}
	return bytes.TrimSpace(value[1 : len(value)-1]), len(all), nil
}

// join makes one array of the items of all pages.
func join(parts [][]byte) []byte {
	parts = slices.DeleteFunc(parts, func(p []byte) bool { return len(p) == 0 })
	return append(append([]byte{'['}, bytes.Join(parts, []byte{','})...), ']')
}

// nextPage is the address of the page after one with n items; nil where it is the last.
func (p *poller) nextPage(at *url.URL, pg page, n int) (*url.URL, *failure) {
	g := p.Pagination
	if g.Next == nil {
		if _, size := g.size(); n < size {
			return nil, nil //nolint:nilnil // no next page is no failure
		}
		step := 1
		if g.Mode == "offset" {
			step = n
		}
		now, err := strconv.Atoi(at.Query().Get(g.parameter()))
		if err != nil {
			return nil, faultf(freshet.FaultConfig, "the address of a page has no number in its parameter %s", g.parameter())
		}
		return with(at, g.parameter(), strconv.Itoa(now+step)), nil
	}
	if g.Next.Location == "header" {
		return p.follow(at, linkNext(pg.links))
	}
	reference, found := scalarAt(pg.raw, g.Next.Pointer)
	switch {
	case !found || reference == "":
		return nil, nil //nolint:nilnil // no next page is no failure
	case g.Next.Type == "value":
		return with(at, g.parameter(), reference), nil
	}
	return p.follow(at, reference)
}

// follow is the address that a reference leads to, if a poll may go there.
func (p *poller) follow(at *url.URL, reference string) (*url.URL, *failure) {
	if reference == "" {
		return nil, nil //nolint:nilnil // no next page is no failure
	}
	to, err := at.Parse(reference)
	if err == nil {
		to, err = egress.ParseURL(to.String())
	}
	if err != nil {
		return nil, faultf(freshet.FaultFormat, "upstream's reference to the next page is no address that can be used")
	}
	to.Fragment, to.RawFragment = "", ""
	if !sameOrigin(to, p.target) && !slices.ContainsFunc(p.Pagination.origins, func(o *url.URL) bool { return sameOrigin(to, o) }) {
		return nil, faultf(freshet.FaultRedirect, "upstream's next page is at another origin, %s, which pagination.otherOrigins does not name", to.Scheme+"://"+to.Host)
	}
	return to, nil
}

// scalarAt is the text or number at a pointer in which -1 is the last item of an array.
func scalarAt(doc []byte, pointer string) (string, bool) {
	value := doc
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		at := "/" + token
		if token == "-1" {
			var all []json.RawMessage
			if json.Unmarshal(value, &all) == nil && len(all) > 0 {
				at = "/" + strconv.Itoa(len(all)-1)
			}
		}
		var err error
		if value, err = jsonpatch.Lookup(value, at); err != nil {
			return "", false
		}
	}
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text, true
	}
	var number json.Number
	if json.Unmarshal(value, &number) == nil && number != "" {
		return number.String(), true
	}
	return "", false
}

// linkNext is the target of the first link with rel=next (RFC 8288 section 3); "" where there is none.
func linkNext(fields []string) string {
	for _, field := range fields {
		for rest := field; rest != ""; {
			_, after, ok := strings.Cut(rest, "<")
			if !ok {
				break
			}
			target, params, ok := strings.Cut(after, ">")
			if !ok {
				break
			}
			var isNext bool
			isNext, rest = relNext(params)
			if isNext {
				return target
			}
		}
	}
	return ""
}

// relNext reads the parameters of a link up to the comma after them.
func relNext(params string) (isNext bool, rest string) {
	for {
		params = strings.TrimLeft(params, " \t;")
		if params == "" || params[0] == ',' {
			return isNext, strings.TrimPrefix(params, ",")
		}
		end := strings.IndexAny(params, "=;,")
		if end < 0 {
			return isNext, ""
		}
		name := strings.TrimSpace(params[:end])
		if params[end] != '=' {
			params = params[end:]
			continue
		}
		var value string
		value, params = quoted(strings.TrimLeft(params[end+1:], " \t"))
		if strings.EqualFold(name, "rel") && slices.ContainsFunc(strings.Fields(value), func(r string) bool { return strings.EqualFold(r, "next") }) {
			isNext = true
		}
	}
}

// quoted reads a token or a quoted string (RFC 9110 section 5.6.4).
func quoted(s string) (value, rest string) {
	if !strings.HasPrefix(s, "\"") {
		end := strings.IndexAny(s, ";,")
		if end < 0 {
			end = len(s)
		}
		return strings.TrimSpace(s[:end]), s[end:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == '"':
			return b.String(), s[i+1:]
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), ""
}
