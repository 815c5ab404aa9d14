package catalog

import (
	"cmp"
	"slices"

	"freshet"
	"freshet/internal/search"
)

// List returns one page of the topics that q finds, and how many it finds in all. status adds what a topic is doing,
// for the page and, where the search asks for it, the search; it may be nil.
func (c *Catalog) List(q search.Query, status func(freshet.TopicName) *freshet.Status) (page []Entry, total int) {
	found := c.all()
	if q.Search.Any() {
		found = nil
		for _, e := range c.all() {
			t := &e.Topic
			if q.Search.Names("status") && status != nil {
				copied := e.Topic
				copied.Status = status(t.Name)
				t = &copied
			}
			if q.Search.Matches(t) {
				found = append(found, e)
			}
		}
	}
	if len(q.Sort) > 0 {
		found = slices.Clone(found) // the view's own order stays
		search.Sort(found, q.Sort, by)
	}
	for _, e := range search.Page(found, q.Page, q.PageSize) {
		item := *e
		if status != nil {
			item.Topic.Status = status(item.Topic.Name)
		}
		page = append(page, item)
	}
	return page, len(found)
}

// ParseSearch reads a search for topics.
func ParseSearch(s string) (search.Expression, error) { return search.Parse[freshet.Topic](s, aliases) }

// aliases are the names that the incumbent's users know.
func aliases(property string) string {
	switch property {
	case "publisher.type":
		return "source.type"
	case "publisher.alwaysOn":
		return "source.alwaysOn"
	case "publisher.payload.type":
		return "kind"
	case "subscribers.allowedSubscriptionModes":
		return "subscribers.allowedModes"
	case "subscribers.defaultSubscriptionMode":
		return "subscribers.defaultMode"
	}
	return property
}

// ParseOrder reads a property to sort by.
func ParseOrder(s string) (search.Order, error) {
	return search.ParseOrder(s, []string{"name", "createTimestamp", "modifyTimestamp", "source.type", "kind"}, aliases)
}

func by(property string, a, b *Entry) int {
	switch property {
	case "createTimestamp":
		return a.Topic.CreateTimestamp.Compare(b.Topic.CreateTimestamp)
	case "modifyTimestamp":
		return a.Topic.ModifyTimestamp.Compare(b.Topic.ModifyTimestamp)
	case "source.type":
		return cmp.Compare(a.Topic.Source.Type, b.Topic.Source.Type)
	case "kind":
		return cmp.Compare(a.Topic.Kind, b.Topic.Kind)
	}
	return cmp.Compare(a.Topic.Name, b.Topic.Name)
}
