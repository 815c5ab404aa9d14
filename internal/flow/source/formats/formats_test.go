package formats_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"freshet/internal/flow/source/formats"
)

const rss = `<?xml version="1.0" encoding="ISO-8859-1"?><rss version="2.0"><channel><title>News</title><link>https://a.example/</link><description>D</description>
<item><guid>1</guid><title>Caf` + "\xe9" + `</title><link>https://a.example/1</link><description>One</description><pubDate>Sat, 01 Jan 2000 12:00:00 +0100</pubDate><category>x</category><author>Ann</author></item>
<item><title>Two</title><link>https://a.example/2</link><pubDate>yesterday</pubDate></item></channel></rss>`

const atom = `<feed xmlns="http://www.w3.org/2005/Atom"><title>News</title><updated>2000-01-01T00:00:00Z</updated><entry><id>urn:1</id><title>One</title><updated>2000-01-01T00:00:00Z</updated><link href="https://a.example/1"/><author><name>Ann</name></author><summary>S</summary><content type="html">C</content></entry></feed>`

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		format, data string
		options      formats.Options
		want         string // "" and no error: the error of a syntax
	}{
		{"json", ` {"a" : 1}`, formats.Options{}, ` {"a" : 1}`},
		{"ndjson", "{\"a\":1}\r\n\n 2\n\"x\"", formats.Options{}, `[{"a":1},2,"x"]`},
		{"ndjson", "", formats.Options{}, `[]`},
		{"ndjson", "1\n{\n}\n", formats.Options{}, ``},
		{"csv", "\xef\xbb\xbfsku,price\nA1,1.5\n\"B \"\"2\"\"\",\"x,\ny\"\n", formats.Options{}, `[{"sku":"A1","price":"1.5"},{"sku":"B \"2\"","price":"x,\ny"}]`},
		{"csv", "A1;1,5\n", formats.Options{Delimiter: ";", Columns: []string{"sku", "price"}}, `[{"sku":"A1","price":"1,5"}]`},
		{"csv", "a\tb\n1\t2\n", formats.Options{Delimiter: "\t"}, `[{"a":"1","b":"2"}]`},
		{"csv", "", formats.Options{}, `[]`},
		{"csv", "a,b\n", formats.Options{}, `[]`},
		{"csv", "a,b\n1\n", formats.Options{}, ``},
		{"csv", "a,a\n1,2\n", formats.Options{}, ``},
		{"csv", "a\n\"1", formats.Options{}, ``},
		{
			"xml", `<?xml version="1.0"?><!-- c --><p:list xmlns:p="urn:x" xmlns="urn:y" p:n="1"><item id="7">A &amp; B</item><item>x</item><one>1</one><mixed>a<b/>c</mixed><empty/></p:list>`,
			formats.Options{},
			`{"list":{"@n":"1","empty":"","item":[{"#text":"A \u0026 B","@id":"7"},"x"],"mixed":{"#text":"ac","b":""},"one":"1"}}`,
		},
		{"xml", `<l><i>1</i></l>`, formats.Options{Arrays: []string{"i"}}, `{"l":{"i":["1"]}}`},
		{"xml", "<?xml version=\"1.0\" encoding=\"windows-1252\"?><a>\x80</a>", formats.Options{}, `{"a":"€"}`},
		{"xml", `<a>`, formats.Options{}, ``},
		{"xml", `<a/><b/>`, formats.Options{}, ``},
		{"xml", ``, formats.Options{}, ``},
		{"xml", `<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`, formats.Options{}, ``},
		{"xml", strings.Repeat("<a>", 300) + strings.Repeat("</a>", 300), formats.Options{}, ``},
		{"feed", rss, formats.Options{}, `{"title":"News","description":"D","link":"https://a.example/","items":[` +
			`{"id":"1","title":"Café","link":"https://a.example/1","summary":"One","published":"2000-01-01T11:00:00Z","authors":["Ann"],"categories":["x"]},` +
			`{"id":"https://a.example/2","title":"Two","link":"https://a.example/2","published":"yesterday"}]}`},
		{"feed", atom, formats.Options{}, `{"title":"News","updated":"2000-01-01T00:00:00Z","items":[` +
			`{"id":"urn:1","title":"One","link":"https://a.example/1","summary":"S","content":"C","published":"2000-01-01T00:00:00Z","updated":"2000-01-01T00:00:00Z","authors":["Ann"]}]}`},
		{"feed", `{"version":"https://jsonfeed.org/version/1.1","title":"N","items":[{"id":"1","title":"T","url":"https://a.example/"}]}`, formats.Options{}, `{"title":"N","items":[{"id":"1","title":"T","link":"https://a.example/"}]}`},
		{"feed", `<html></html>`, formats.Options{}, ``},
	} {
		got, err := formats.Parse(tt.format, []byte(tt.data), tt.options)
		switch {
		case tt.want == "" && !errors.Is(err, formats.ErrSyntax):
			t.Errorf("%s %.60q: %s, %v, want an error", tt.format, tt.data, got, err)
		case tt.want != "" && (err != nil || string(got) != tt.want):
			t.Errorf("%s %.60q:\n%s, %v, want\n%s", tt.format, tt.data, got, err, tt.want)
		}
	}
	if _, err := formats.Parse("yaml", nil, formats.Options{}); err == nil || errors.Is(err, formats.ErrSyntax) {
		t.Error(err)
	}
}

// Whatever comes, what is made of it is JSON.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"1\n2", "a,b\n1,2", `<a b="c">d<e/></a>`, rss, atom, "\xff", "a\n\"\x00\xff\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data string) {
		for _, format := range strings.Split(formats.Names, ",")[1:] {
			if got, err := formats.Parse(format, []byte(data), formats.Options{Delimiter: ","}); err == nil && !json.Valid(got) {
				t.Errorf("%s: %q", format, got)
			}
		}
	})
}
