package formats

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/mmcdole/gofeed"
)

type feed struct {
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	Link        string `json:"link,omitempty"`
	Updated     string `json:"updated,omitempty"`
	Items       []item `json:"items"`
}

type item struct {
	ID         string   `json:"id,omitempty"`
	Title      string   `json:"title,omitempty"`
	Link       string   `json:"link,omitempty"`
	Summary    string   `json:"summary,omitempty"`
	Content    string   `json:"content,omitempty"`
	Published  string   `json:"published,omitempty"`
	Updated    string   `json:"updated,omitempty"`
	Authors    []string `json:"authors,omitempty"`
	Categories []string `json:"categories,omitempty"`
}

// parseFeed makes the same of RSS, RDF, Atom and JSON Feed.
func parseFeed(data []byte) ([]byte, error) {
	in, err := gofeed.NewParser().Parse(bytes.NewReader(data))
	if err != nil {
		return nil, syntax("feed", err)
	}
	out := feed{Title: in.Title, Description: in.Description, Link: in.Link, Updated: moment(in.UpdatedParsed, in.Updated), Items: []item{}}
	for _, i := range in.Items {
		to := item{
			ID: i.GUID, Title: i.Title, Link: i.Link, Summary: i.Description, Content: i.Content,
			Published: moment(i.PublishedParsed, i.Published), Updated: moment(i.UpdatedParsed, i.Updated), Categories: i.Categories,
		}
		for _, a := range i.Authors {
			if name := a.Name; name != "" {
				to.Authors = append(to.Authors, name)
			} else if a.Email != "" {
				to.Authors = append(to.Authors, a.Email)
			}
		}
		if to.ID == "" {
			to.ID = to.Link
		}
		out.Items = append(out.Items, to)
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, syntax("feed", err)
	}
	return text, nil
}

// moment is a time as in RFC 3339, or as it was written where that was not understood.
func moment(t *time.Time, written string) string {
	if t == nil {
		return written
	}
	return t.UTC().Format(time.RFC3339)
}
