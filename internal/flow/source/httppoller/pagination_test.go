package httppoller_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// items are the numbers from one to another, as JSON.
func items(from, to int) string {
	var all []int
	for i := from; i <= to; i++ {
		all = append(all, i)
	}
	text, _ := json.Marshal(all)
	return strings.Replace(string(text), "null", "[]", 1)
}

// Each mode asks for what its options say, until there is no more, and the pages are one document.
func TestPagination(t *testing.T) {
	for _, tt := range []struct {
		name, options, pointer string
		answer                 func(q func(string) int, r *http.Request) (body, link string)
		asked                  []string // queries
		want                   string
	}{
		{
			"page, counted", `{"mode":"page","pageSize":{"value":3}}`, "",
			func(q func(string) int, _ *http.Request) (string, string) {
				return items(q("page")*10+1, q("page")*10+min(3, 4-q("page"))), ""
			},
			[]string{"page=1&pageSize=3", "pageSize=3&page=2"},
			`payload [11,12,13,21,22]`,
		},
		{
			"page, by other names", `{"mode":"page","page":{"parameterName":"p","initial":0},"pageSize":{"parameterName":"","value":2}}`, "/items",
			func(q func(string) int, _ *http.Request) (string, string) {
				return `{"items":` + items(1, 2*(1-q("p"))) + `}`, ""
			},
			[]string{"p=0", "p=1"},
			`payload [1,2]`,
		},
		{
			"page, as told", `{"mode":"page","nextReference":{"pointer":"/next"}}`, "/items",
			func(q func(string) int, _ *http.Request) (string, string) {
				if q("page") == 1 {
					return `{"items":[1],"next":7}`, ""
				}
				return `{"items":[2],"next":null}`, ""
			},
			[]string{"page=1&pageSize=100", "pageSize=100&page=7"},
			`payload [1,2]`,
		},
		{
			"offset, counted", `{"mode":"offset","limit":{"value":2}}`, "",
			func(q func(string) int, _ *http.Request) (string, string) {
				return items(q("offset"), min(q("offset")+q("limit")-1, 5)), ""
			},
			[]string{"offset=1&limit=2", "limit=2&offset=3", "limit=2&offset=5"},
			`payload [1,2,3,4,5]`,
		},
		{
			"offset, by other names", `{"mode":"offset","offset":{"parameterName":"skip","initial":0},"limit":{"parameterName":"top","value":5}}`, "",
			func(func(string) int, *http.Request) (string, string) { return `[]`, "" },
			[]string{"skip=0&top=5"},
			`payload []`,
		},
		{
			"keyset, by the last item", `{"mode":"keyset","pageSize":{"parameterName":"n","value":2},"nextReference":{"pointer":"/-1/id"}}`, "",
			func(q func(string) int, _ *http.Request) (string, string) {
				if k := q("since_key"); k < 20 {
					return fmt.Sprintf(`[{"id":%d},{"id":"%d"}]`, k+5, k+10), ""
				}
				return `[]`, ""
			},
			[]string{"n=2", "n=2&since_key=10", "n=2&since_key=20"},
			`payload [{"id":5},{"id":"10"},{"id":15},{"id":"20"}]`,
		},
		{
			"cursor", `{"mode":"cursor","cursor":{"parameterName":"after"},"nextReference":{"location":"body","type":"value","pointer":"/meta/next"}}`, "/data",
			func(_ func(string) int, r *http.Request) (string, string) {
				if r.URL.Query().Get("after") == "" {
					return `{"data":[ 1 ],"meta":{"next":"a b&c"}}`, ""
				}
				return `{"data":{"last":true},"meta":{"next":""}}`, ""
			},
			[]string{"pageSize=100", "pageSize=100&after=a+b%26c"},
			`payload [1,{"last":true}]`,
		},
		{
			"a URI in the body", `{"mode":"cursor","nextReference":{"type":"uri","pointer":"/next"}}`, "/data",
			func(q func(string) int, _ *http.Request) (string, string) {
				if q("x") == 0 {
					return `{"data":[1],"next":"?x=1#top"}`, ""
				}
				return `{"data":[2]}`, ""
			},
			[]string{"pageSize=100", "x=1"},
			`payload [1,2]`,
		},
		{
			"a Link", `{"mode":"page","nextReference":{"location":"header"}}`, "",
			func(q func(string) int, _ *http.Request) (string, string) {
				if q("page") < 3 {
					return items(q("page"), q("page")), fmt.Sprintf(`<http://upstream.example/doc?page=0>; rel="first prev", </doc?page=%d>; title="a, \"b\" <c>"; REL="last next"; x`, q("page")+1)
				}
				return items(3, 3), `</doc?page=1>; rel=first`
			},
			[]string{"page=1&pageSize=100", "page=2", "page=3"},
			`payload [1,2,3]`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked []string
			inBubble(t, func(_ int, w http.ResponseWriter, r *http.Request) {
				asked = append(asked, r.URL.RawQuery)
				body, link := tt.answer(func(name string) int {
					n, _ := strconv.Atoi(r.URL.Query().Get(name))
					return n
				}, r)
				if link != "" {
					w.Header().Set("Link", link)
				}
				_, _ = w.Write([]byte(body))
			}, func(w *world) {
				w.run(w.poller(`,"payloadPointer":"`+tt.pointer+`","pagination":`+tt.options), 9*s)
				w.heardOnly(tt.want, "unchanged")
			})
			if len(asked) != 2*len(tt.asked) || !slices.Equal(asked[:len(asked)/2], tt.asked) {
				t.Errorf("asked\n%q, want twice\n%q", asked, tt.asked)
			}
		})
	}
}

// Each page has validators of its own; those that have not changed are not sent again.
func TestPagesAreConditional(t *testing.T) {
	bodies, version := 0, 1
	inBubble(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		page := r.URL.Query().Get("page")
		tag := `"` + page + `"`
		if page == "2" {
			tag = fmt.Sprintf(`"2.%d"`, version)
		}
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		bodies++
		fmt.Fprintf(w, `[%s%d]`, page, version)
	}, func(w *world) {
		w.each = func(string) { version = 1 + len(w.heard())/2 }
		w.run(w.poller(`,"pagination":{"mode":"page","pageSize":{"value":1},"maxPages":3,"nextReference":{"location":"header"}}`), 1*s)
		w.heardOnly(`payload [11]`)
		bodies = 0
	})
	version, bodies = 1, 0
	inBubble(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		tag := fmt.Sprintf(`"%d.%d"`, page, max(1, version*(page-1)))
		w.Header().Set("ETag", tag)
		if page < 3 {
			w.Header().Set("Link", fmt.Sprintf(`<?page=%d>; rel=next`, page+1))
		}
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		bodies++
		fmt.Fprintf(w, `[%s]`, strings.Trim(tag, `"`))
	}, func(w *world) {
		poller := w.poller(`,"pagination":{"mode":"page","pageSize":{"parameterName":""},"nextReference":{"location":"header"}}`)
		w.run(poller, 6*s)
		w.heardOnly(`payload [1.1,2.1,3.2]`, "unchanged")
		if bodies != 3 {
			t.Errorf("%d bodies, want 3", bodies)
		}
		version = 2
		w.run(poller, 11*s)
		if got := w.heard(); got[2] != `payload [1.1,2.2,3.4]` || got[3] != "unchanged" || bodies != 5 {
			t.Errorf("%q, %d bodies, want 5", got, bodies)
		}
	})
}

// What is out of bounds is a fault, and nothing of it is taken.
func TestPaginationIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name, options, limits string
		answer                string
		link                  string
		want                  string
	}{
		{"a circle", `{"mode":"page","nextReference":{"location":"header"}}`, "", `[1]`, `<?page=1&pageSize=100>;rel=next`, "fault 70016 upstream's pages lead in a circle"},
		{"too many", `{"mode":"page","maxPages":3,"pageSize":{"value":1}}`, "", `[1]`, ``, "fault 70015 upstream has more than 3 pages"},
		{"another origin", `{"mode":"page","nextReference":{"location":"header"}}`, "", `[1]`, `<http://evil.example/?a=1>;rel=next`, "fault 70300 upstream's next page is at another origin, http://evil.example, which pagination.otherOrigins does not name"},
		{"another scheme", `{"mode":"page","nextReference":{"location":"header"}}`, "", `[1]`, `<ftp://upstream.example/>;rel=next`, "fault 70016 upstream's reference to the next page is no address"},
		{"too large together", `{"mode":"page","pageSize":{"value":1}}`, "", `["` + strings.Repeat("x", 400_000) + `"]`, ``, "fault 70015 upstream's answer is larger"},
		{"no JSON", `{"mode":"page"}`, "", `[1`, ``, "fault 70016 upstream's answer is not one complete JSON value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
				if tt.link != "" {
					w.Header().Set("Link", tt.link)
				}
				_, _ = w.Write([]byte(tt.answer))
			}, func(w *world) {
				w.run(w.poller(`,"pagination":`+tt.options), 1*s)
				if len(w.lines) != 1 || !strings.HasPrefix(w.lines[0], tt.want) {
					t.Errorf("%.300q, want %s", w.lines, tt.want)
				}
			})
		})
	}
}

// A next page may lead to another origin that is named, and gets no headers there.
func TestPagesOfOtherOrigins(t *testing.T) {
	var asked []string
	inBubble(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Host+" "+r.Header.Get("X-Key"))
		if r.Host == "upstream.example" {
			w.Header().Set("Link", `<http://files.example/2>;rel=next`)
		}
		_, _ = w.Write([]byte(`[1]`))
	}, func(w *world) {
		w.run(w.poller(`,"headers":{"X-Key":"s3cret"},"pagination":{"mode":"page","nextReference":{"location":"header"},"otherOrigins":["http://files.example"]}`), 1*s)
		w.heardOnly(`payload [1,1]`)
	})
	if want := []string{"upstream.example s3cret", "files.example "}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

func TestPaginationConfig(t *testing.T) {
	const next = `,"nextReference":{"pointer":"/next"}`
	for _, tt := range []struct{ options, want string }{
		{`{"mode":"keyset"` + next + `}`, ``},
		{`{}`, `/pagination/mode: is required`},
		{`{"mode":"pages"}`, `/pagination/mode: must be page, offset, keyset or cursor, not "pages": did you mean "page"?`},
		{`{"mode":"cursor"}`, `/pagination/nextReference: is required in mode cursor`},
		{`{"mode":"keyset"}`, `/pagination/nextReference: is required in mode keyset`},
		{`{"mode":"page","nextReference":{}}`, `/pagination/nextReference/pointer: is required`},
		{`{"mode":"page","nextReference":{"location":"header","pointer":"/x"}}`, `/pagination/nextReference/pointer: only a reference in the body`},
		{`{"mode":"page","nextReference":{"location":"footer","pointer":"/x"}}`, `/pagination/nextReference/location: must be body or header`},
		{`{"mode":"page","nextReference":{"type":"url","pointer":"/x"}}`, `/pagination/nextReference/type: must be uri or value`},
		{`{"mode":"page","nextReference":{"pointer":"x"}}`, `/pagination/nextReference/pointer: "x" is not a JSON Pointer`},
		{`{"mode":"page","page":{"initial":-1}}`, `/pagination/page/initial: must be from 0`},
		{`{"mode":"page","pageSize":{"value":0}}`, `/pagination/pageSize/value: must be from 1`},
		{`{"mode":"offset","limit":{"value":0}}`, `/pagination/limit/value: must be from 1`},
		{`{"mode":"page","maxPages":10001}`, `/pagination/maxPages: must be from 1 to 10000`},
		{`{"mode":"page","nextReference":{"location":"header"},"otherOrigins":["https://a.example/path"]}`, `/pagination/otherOrigins/0: "https://a.example/path" is not an origin`},
		// Options of another mode have no effect, and are refused; their defaults do no harm.
		{`{"mode":"page","offset":{"initial":0}}`, `/pagination/offset: is of no use with mode page, but with offset`},
		{`{"mode":"page","limit":{"value":10}}`, `/pagination/limit: is of no use with mode page, but with offset`},
		{`{"mode":"page","key":{"parameterName":"k"}}`, `/pagination/key: is of no use with mode page, but with keyset`},
		{`{"mode":"page","cursor":{"parameterName":"k"}}`, `/pagination/cursor: is of no use with mode page, but with cursor`},
		{`{"mode":"offset","page":{"initial":0}}`, `/pagination/page: is of no use with mode offset, but with page`},
		{`{"mode":"offset","pageSize":{"value":10}}`, `/pagination/pageSize: is of no use with mode offset, but with page, keyset or cursor`},
		{`{"mode":"keyset","pageSize":{"value":10},"offset":{"parameterName":"offset","initial":1},"limit":{}` + next + `}`, ``},
		{`{"mode":"page","page":{"parameterName":""}}`, `/pagination/page/parameterName: must not be empty`},
		{`{"mode":"offset","offset":{"parameterName":""}}`, `/pagination/offset/parameterName: must not be empty`},
		{`{"mode":"keyset","key":{"parameterName":""}` + next + `}`, `/pagination/key/parameterName: must not be empty`},
		{`{"mode":"cursor","cursor":{"parameterName":""}` + next + `}`, `/pagination/cursor/parameterName: must not be empty`},
		{`{"mode":"cursor","pageSize":{"parameterName":""}` + next + `}`, ``},
		{`{"mode":"page","pageSize":{"parameterName":"page"}}`, `/pagination/page/parameterName: "page" is the parameter that says how many`},
		{`{"mode":"page","otherOrigins":["https://a.example"]}`, `/pagination/otherOrigins: is of no use`},
		{`{"mode":"page","otherOrigins":["https://a.example"]` + next + `}`, `/pagination/otherOrigins: is of no use`},
		{`{"mode":"page","nextReference":{"location":"header","type":"uri"}}`, ``}, // as the incumbent's header has it
	} {
		expectWrong(t, `"pagination":`+tt.options, tt.want)
	}
	expectWrong(t, `"pagination":{"mode":"page"},"computedQueryParameters":{"page":{"type":"timestamp"}}`, `/computedQueryParameters/page: is a parameter of pagination, too`)
}

// expectWrong checks a poller with an option, for which Check is to say just one thing, or nothing.
func expectWrong(t *testing.T, option, want string) {
	t.Helper()
	got := poller(t).Check(json.RawMessage(`{"url":"https://api.example.com/",` + option + `}`))
	if (want == "") != (got == nil) || want != "" && (len(got) != 1 || !strings.HasPrefix(got[0].Pointer+": "+got[0].Detail, want)) {
		t.Errorf("%s:\n%v, want\n%s", option, got, want)
	}
}
