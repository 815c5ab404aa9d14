package corpus

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// news is a list of which two come in at the head and two go at the tail. It is escaped as PHP does.
func news(n int) Corpus {
	r := newRand("news")
	next := 900_000
	item := func() string {
		next++
		slug := strings.ReplaceAll(r.words(6), " ", "-")
		return string(object(nil, []field{
			{"id", strconv.Itoa(next)},
			{"title", quoted(r.words(9))},
			{"url", `"https:\/\/news.example.com\/2026\/11\/` + slug + `"`},
			{"image", `"https:\/\/img.example.com\/` + r.text(12) + `.jpg"`},
			{"author", `"Ren\u00e9 ` + r.text(7) + `"`},
			{"published", quoted(stamp(next))},
			{"summary", quoted(r.words(38))},
			{"tags", string(list(nil, []string{quoted(r.text(6)), quoted(r.text(8)), quoted(r.text(5))}))},
			{"comments", r.count(300)},
			{"paywall", "false"},
		}))
	}
	var items []string
	for range n {
		items = append(items, item())
	}
	c := Corpus{Name: "news50"}
	for v := range versions {
		if v > 0 {
			items = append([]string{item(), item()}, items[:n-2]...)
		}
		c.Versions = append(c.Versions, append(list([]byte(`{"status":"ok","items":`), items), '}'))
	}
	return c
}

// leaders is a ranking in which 10 % gain points and move up.
func leaders(n int) Corpus {
	type player struct {
		fields []field
		score  int
	}
	r := newRand("leaders")
	players := make([]*player, n)
	for i := range players {
		players[i] = &player{score: 10_000 - 50*i, fields: []field{
			{"player", quoted("p" + r.text10())},
			{"name", quoted(r.words(2))},
			{"country", quoted(strings.ToUpper(r.text(2)))},
			{"team", quoted(r.words(1))},
			{"wins", r.count(100)},
			{"losses", r.count(100)},
			{"avatar", quoted("/avatars/" + r.text(16) + ".png")},
		}}
	}
	c := Corpus{Name: "leader100"}
	for v := range versions {
		if v > 0 {
			for range n / 10 {
				players[r.IntN(n)].score += 20 + r.IntN(300)
			}
			sort.SliceStable(players, func(i, j int) bool { return players[i].score > players[j].score })
		}
		var rows []string
		for _, p := range players {
			rows = append(rows, string(object(nil, append(p.fields[:len(p.fields):len(p.fields)], field{"score", strconv.Itoa(p.score)}))))
		}
		c.Versions = append(c.Versions, append(list([]byte(`{"season":"2026","leaders":`), rows), '}'))
	}
	return c
}

// config is a deep tree of objects, of which a few leaves change, come and go.
func config() Corpus {
	r := newRand("config")
	type leaf struct{ path, value string }
	var leaves []leaf
	for len(leaves) < 2300 {
		region, service, group := r.IntN(5), r.IntN(12), r.IntN(8)
		path := fmt.Sprintf("region-%d/service%02d/group%d/%s", region, service, group, r.text(9))
		leaves = append(leaves, leaf{path, ""})
	}
	value := func() string {
		switch r.IntN(5) {
		case 0:
			return "true"
		case 1:
			return "null"
		case 2:
			return r.count(100_000)
		}
		return quoted(r.words(2))
	}
	for i := range leaves {
		leaves[i].value = value()
	}
	c := Corpus{Name: "config-deep"}
	for v := range versions {
		if v > 0 {
			for i := range leaves {
				if r.IntN(50) == 0 {
					leaves[i].value = value()
				}
			}
			for range 6 {
				i := r.IntN(len(leaves))
				leaves[i].path = leaves[i].path[:strings.LastIndexByte(leaves[i].path, '/')+1] + r.text(9)
			}
		}
		sorted := slices.Clone(leaves)
		sort.Slice(sorted, func(i, j int) bool { return sorted[i].path < sorted[j].path })
		doc, open := []byte{'{'}, []string(nil)
		for _, l := range sorted {
			parts := strings.Split(l.path, "/")
			dirs := parts[:len(parts)-1]
			same := 0
			for same < len(open) && same < len(dirs) && open[same] == dirs[same] {
				same++
			}
			for range open[same:] {
				doc = append(doc, '}')
			}
			if doc[len(doc)-1] != '{' {
				doc = append(doc, ',')
			}
			for _, d := range dirs[same:] {
				doc = append(doc, quoted(d)+":{"...)
			}
			open = dirs
			doc = append(doc, quoted(parts[len(parts)-1])+":"+l.value...)
		}
		for range open {
			doc = append(doc, '}')
		}
		c.Versions = append(c.Versions, append(doc, '}'))
	}
	return c
}

// items is a root array of records that come, go and change in its middle.
func items(name string, n int) Corpus {
	r := newRand(name)
	next := 1000
	item := func() []field {
		next++
		return []field{{"id", strconv.Itoa(next)}, {"name", quoted(r.words(2))}, {"state", quoted(r.text(3))}, {"qty", r.count(1000)}, {"at", quoted(stamp(next))}}
	}
	var all [][]field
	for range n {
		all = append(all, item())
	}
	c := Corpus{Name: name}
	for v := range versions {
		if v > 0 {
			for range max(n/200, 1) {
				i := r.IntN(len(all))
				all = slices.Delete(all, i, i+1)
				i = r.IntN(len(all))
				all = slices.Insert(all, i, item())
				i = r.IntN(len(all))
				all[i] = slices.Clone(all[i])
				all[i][3].value = r.count(1000)
			}
		}
		var rows []string
		for _, f := range all {
			rows = append(rows, string(object(nil, f)))
		}
		c.Versions = append(c.Versions, list(nil, rows))
	}
	return c
}

// vehicles is GeoJSON in which 60 % move.
func vehicles(n int) Corpus {
	r := newRand("vehicles")
	type vehicle struct{ id, line, operator, lon, lat, heading, speed, at string }
	all := make([]vehicle, n)
	move := func(v *vehicle) {
		v.lon = strconv.FormatFloat(13+r.Float64(), 'f', 6, 64)
		v.lat = strconv.FormatFloat(52+r.Float64(), 'f', 6, 64)
		v.heading, v.speed, v.at = r.count(360), strconv.FormatFloat(r.Float64()*90, 'f', 1, 64), "17637"+r.text10()
	}
	for i := range all {
		all[i].id, all[i].line, all[i].operator = quoted("bus-"+strconv.Itoa(1000+i)), quoted("M"+r.count(60)), quoted(r.text(4))
		move(&all[i])
	}
	c := Corpus{Name: "geo300-60%"}
	for k := range versions {
		var rows []string
		for i := range all {
			v := &all[i]
			if k > 0 && r.IntN(10) < 6 {
				move(v)
			}
			rows = append(rows, `{"type":"Feature","geometry":{"type":"Point","coordinates":[`+v.lon+`,`+v.lat+`]},"properties":{"id":`+v.id+
				`,"line":`+v.line+`,"operator":`+v.operator+`,"heading":`+v.heading+`,"speed":`+v.speed+`,"at":`+v.at+`}}`)
		}
		c.Versions = append(c.Versions, append(list([]byte(`{"type":"FeatureCollection","features":`), rows), '}'))
	}
	return c
}

// series is a window over a time series that slides by five points.
func series(n int) Corpus {
	r := newRand("series")
	at := 1_763_700_000
	var points []string
	point := func() string {
		at += 15
		return "[" + strconv.Itoa(at) + "," + r.price() + "]"
	}
	for range n {
		points = append(points, point())
	}
	c := Corpus{Name: "series1000"}
	for v := range versions {
		if v > 0 {
			points = append(slices.Clone(points[5:]), point(), point(), point(), point(), point())
		}
		c.Versions = append(c.Versions, append(list([]byte(`{"metric":"load","points":`), points), '}'))
	}
	return c
}

// tags is a list of strings that come and go anywhere.
func tags(n int) Corpus {
	r := newRand("tags")
	var all []string
	for range n {
		all = append(all, quoted(r.words(2)))
	}
	c := Corpus{Name: "tags800"}
	for v := range versions {
		if v > 0 {
			for range 13 {
				i := r.IntN(len(all))
				all = slices.Delete(all, i, i+1)
				all = slices.Insert(all, r.IntN(len(all)), quoted(r.words(2)))
			}
		}
		c.Versions = append(c.Versions, append(list([]byte(`{"tags":`), all), '}'))
	}
	return c
}
