package catalog_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"freshet"
	"freshet/internal/catalog"
	"freshet/internal/search"
)

// shelf holds five topics of different properties.
func shelf(t *testing.T) *catalog.Catalog {
	t.Helper()
	c := open(t, &catalog.Memory{})
	for _, doc := range []string{
		`{"name":"d","kind":"event","source":{"type":"events"}}`,
		`{"name":"a","kind":"snapshot","description":"stock (\"north\")","source":{"type":"anything","alwaysOn":true}}`,
		`{"name":"c","kind":"snapshot","source":{"type":"anything"},"subscribers":[{"type":"sse","allowedModes":["snapshot-only"]}],"history":{"maxAge":"P1D"}}`,
		`{"name":"b","kind":"event","description":"orders","source":{"type":"anything"},"limits":{"payload":"2MiB"}}`,
		`{"name":"e.f-g","kind":"snapshot","source":{"type":"http-poller","config":{"url":"u"}},"diff":{"arrayKeys":{"/items":"id"},"ignore":["/at","/n"]}}`,
	} {
		create(t, c, doc)
	}
	return c
}

func names(page []catalog.Entry) string {
	var all []string
	for _, e := range page {
		all = append(all, string(e.Topic.Name))
	}
	return strings.Join(all, " ")
}

func TestSearch(t *testing.T) {
	c := shelf(t)
	status := func(n freshet.TopicName) *freshet.Status {
		if n == "a" {
			return &freshet.Status{State: "failing", Fault: &freshet.Fault{Code: 70500}}
		}
		return &freshet.Status{State: "idle"}
	}
	for text, want := range map[string]string{
		`name:a`:                               "a",
		`name!a`:                               "b c d e.f-g",
		`description?`:                         "a b",
		`description:""`:                       "c d e.f-g",
		`description:"stock (\"north\")"`:      "a",
		`description:*north*`:                  "a",
		`name:*`:                               "a b c d e.f-g",
		`name:e*-*g`:                           "e.f-g",
		`name:e*-*x`:                           "",
		`kind:event`:                           "b d",
		`publisher.payload.type:event`:         "b d",
		`publisher.type:http-poller`:           "e.f-g",
		`source.alwaysOn:true`:                 "a",
		`source.alwaysOn:false AND kind:event`: "b d",
		`source.alwaysOn?`:                     "a",
		`kind:event OR name:a AND source.type:anything`:   "a b d",
		`(kind:event OR name:a) AND source.type:anything`: "a b",
		`(kind:event or name:a) and source.type:anything`: "a b",
		`( ( name:a ) )OR(name:b)`:                        "a b",
		`subscribers.allowedModes:snapshot-patch`:         "a e.f-g",
		`subscribers.allowedModes!snapshot-patch`:         "b c d",
		`history.maxAge:24h`:                              "c",
		`history.maxAge:PT1H`:                             "a b d e.f-g",
		`limits.payload:2097152`:                          "b",
		`diff.ignore:/n`:                                  "e.f-g",
		`diff.arrayKeys./items:id`:                        "e.f-g",
		`diff.arrayKeys?`:                                 "e.f-g",
		`diff?`:                                           "e.f-g",
		`managedBy:api AND name:d`:                        "d",
		`createTimestamp:2*`:                              "a b c d e.f-g",
		`status.state:failing`:                            "a",
		`status.fault.code:70500`:                         "a",
		`status.fault?`:                                   "a",
	} {
		s, err := catalog.ParseSearch(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		page, total := c.List(search.Query{Search: s, PageSize: 10}, status)
		if got := names(page); got != want || total != len(page) {
			t.Errorf("%s finds %q, %d in all; want %q", text, got, total, want)
		}
	}
}

func TestSearchMistakes(t *testing.T) {
	for text, want := range map[string]string{
		``:                                  `at character 1: empty`,
		`  `:                                `at character 3: empty`,
		`name`:                              `at character 5: "name" must be followed by :value, !value or ?`,
		`naem:a`:                            `at character 1: unknown property "naem": did you mean "name"?`,
		`name:é AND x:1`:                    `at character 12: unknown property "x": known are name, kind, `,
		`name:`:                             `at character 6: a value is missing`,
		`name:a name:b`:                     `at character 8: AND or OR is missing before "name:b"`,
		`name:a AND`:                        `at character 11: a property such as name is missing before the end`,
		`name:a AND `:                       `at character 12: a property such as name is missing before the end`,
		`(name:a`:                           `at character 1: this parenthesis is not closed`,
		`(name:a name:b)`:                   `at character 9: AND, OR or ) is missing before "name:b)"`,
		`name:a)`:                           `at character 7: AND or OR is missing before ")"`,
		`name:"a`:                           `at character 6: this quote is not closed`,
		`source.config:x`:                   `at character 1: source.config cannot be searched`,
		`source.config.url:x`:               `at character 1: source.config cannot be searched`,
		`source:x`:                          `at character 1: source has no value of its own: name one of its members type, alwaysOn`,
		`diff.arrayKeys:x`:                  `at character 1: diff.arrayKeys has no value of its own: name one of its members, such as diff.arrayKeys.key`,
		`name.first:x`:                      `at character 1: unknown property "name.first": there is nothing below name`,
		`createTimestamp.x?`:                `at character 1: unknown property "createTimestamp.x": there is nothing below createTimestamp`,
		strings.Repeat("(", 60):             `at character 51: more than 50 parentheses`,
		`name:` + strings.Repeat("a", 5000): `longer than 4096 bytes`,
	} {
		if _, err := catalog.ParseSearch(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.40s: %v; want %s", text, err, want)
		}
	}
}

func FuzzSearch(f *testing.F) {
	for _, s := range []string{`name:a AND (kind!"x\"y" OR source.type?)`, `diff.arrayKeys.a.b:*c*`, `status.fault.code:1 or history.maxAge:PT1H`, `((((`, `name:"`} {
		f.Add(s)
	}
	topics := []freshet.Topic{{}, catalog.Effective(freshet.Topic{Name: "a", Kind: freshet.KindSnapshot, Status: &freshet.Status{Fault: &freshet.Fault{}}})}
	c, err := catalog.New(f.Context(), &catalog.Memory{}, sources())
	if err != nil {
		f.Fatal(err)
	}
	for i, t := range topics {
		t.Name = freshet.TopicName(fmt.Sprint("t", i))
		if _, err := c.Sync(f.Context(), []freshet.Topic{t}, func(context.Context, freshet.TopicName) error { return nil }); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, in string) {
		s, err := catalog.ParseSearch(in)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "at character ") && !strings.HasPrefix(err.Error(), "longer than") {
				t.Errorf("%q: the error says no place: %v", in, err)
			}
			return
		}
		_, found := c.List(search.Query{Search: s}, nil)
		again, err := catalog.ParseSearch("(" + in + ")") // may have become too long or too deep
		if err != nil {
			return
		}
		if _, n := c.List(search.Query{Search: again}, nil); n != found {
			t.Errorf("%q finds %d, and %d in parentheses", in, found, n)
		}
	})
}

func TestSort(t *testing.T) {
	c := shelf(t)
	for _, tt := range []struct {
		sort []string
		want string
	}{
		{nil, "a b c d e.f-g"},
		{[]string{"name,DESC"}, "e.f-g d c b a"},
		{[]string{"kind"}, "b d a c e.f-g"},
		{[]string{"publisher.payload.type,desc", "name,DESC"}, "e.f-g c a d b"},
		{[]string{"source.type,ASC", "kind,ASC"}, "b a c d e.f-g"},
		{[]string{"createTimestamp"}, ""},
		{[]string{"modifyTimestamp, DESC"}, ""},
	} {
		var orders []search.Order
		for _, s := range tt.sort {
			o, err := catalog.ParseOrder(s)
			if err != nil {
				t.Fatal(err)
			}
			orders = append(orders, o)
		}
		page, _ := c.List(search.Query{Sort: orders}, nil)
		if got := names(page); tt.want != "" && got != tt.want {
			t.Errorf("%q: %s; want %s", tt.sort, got, tt.want)
		}
		if len(page) != 5 {
			t.Errorf("%q: %d topics", tt.sort, len(page))
		}
	}
	for bad, want := range map[string]string{"nmae": `did you mean "name"?`, "source": "use name, createTimestamp", "name,UP": "use ASC or DESC"} {
		if _, err := catalog.ParseOrder(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", bad, err, want)
		}
	}
	if page, _ := c.List(search.Query{}, nil); names(page) != "a b c d e.f-g" {
		t.Errorf("sorting changed the order of the view: %s", names(page))
	}
}

func TestPages(t *testing.T) {
	c := shelf(t)
	for _, tt := range []struct {
		page, size int
		want       string
	}{{1, 2, "a b"}, {2, 2, "c d"}, {3, 2, "e.f-g"}, {4, 2, ""}, {1 << 62, 1000, ""}, {0, 0, "a b c d e.f-g"}} {
		page, total := c.List(search.Query{Page: tt.page, PageSize: tt.size}, nil)
		if names(page) != tt.want || total != 5 {
			t.Errorf("page %d of %d: %q of %d; want %q of 5", tt.page, tt.size, names(page), total, tt.want)
		}
	}
}

func BenchmarkSearch10000(b *testing.B) {
	c, err := catalog.New(b.Context(), &catalog.Memory{}, sources())
	if err != nil {
		b.Fatal(err)
	}
	var topics []freshet.Topic
	for i := range 10_000 {
		topics = append(topics, freshet.Topic{Name: freshet.TopicName(fmt.Sprint("t", i)), Kind: freshet.KindSnapshot, Source: freshet.Source{Type: "anything"}})
	}
	if _, err := c.Sync(b.Context(), slices.Clip(topics), nil); err != nil {
		b.Fatal(err)
	}
	s, err := catalog.ParseSearch(`subscribers.allowedModes:snapshot-only AND (history.maxAge:PT1H OR name:x*)`)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, n := c.List(search.Query{Search: s}, nil); n != 10_000 {
			b.Fatal(n)
		}
	}
}
