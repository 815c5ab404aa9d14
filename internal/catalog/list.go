package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"freshet"
	"freshet/internal/search"
	"freshet/internal/strict"
)

// Bounds of a page.
const (
	DefaultPageSize = 20
	MaxPageSize     = 1000
)

// A Query chooses topics.
type Query struct {
	Search   search.Expression // the zero one finds every topic
	Sort     []Order           // the first counts most; equals are in the order of their names
	Page     int               // from 1, the default
	PageSize int               // 1 to MaxPageSize; DefaultPageSize

	// Status adds what a topic is doing, for the page and, where Search asks for it, the search. It
	// may be nil.
	Status func(freshet.TopicName) *freshet.Status
}

// List returns one page of the topics that q finds, and how many it finds in all.
func (c *Catalog) List(q Query) (page []Entry, total int) {
	found := c.all()
	if q.Search.Any() {
		found = nil
		for _, e := range c.all() {
			t := &e.Topic
			if q.Search.Names("status") && q.Status != nil {
				copied := e.Topic
				copied.Status = q.Status(t.Name)
				t = &copied
			}
			if q.Search.Matches(t) {
				found = append(found, e)
			}
		}
	}
	if len(q.Sort) > 0 {
		found = slices.Clone(found) // the view's own order stays
		slices.SortStableFunc(found, func(a, b *Entry) int {
			for _, o := range q.Sort {
				if order := o.compare(&a.Topic, &b.Topic); order != 0 {
					return order
				}
			}
			return 0
		})
	}
	size, from := cmp.Or(q.PageSize, DefaultPageSize), len(found)
	if before := max(q.Page, 1) - 1; before <= from/size { // else it is behind the end, and the product might overflow
		from = min(from, before*size)
	}
	for _, e := range found[from:min(len(found), from+size)] {
		item := *e
		if q.Status != nil {
			item.Topic.Status = q.Status(item.Topic.Name)
		}
		page = append(page, item)
	}
	return page, len(found)
}

// ParseSearch reads a search for topics.
func ParseSearch(s string) (search.Expression, error) { return search.Parse[freshet.Topic](s, aliases) }

// An Order is a property to sort by.
type Order struct {
	property   string
	descending bool
}

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

// ParseOrder reads "property", "property,ASC" or "property,DESC".
func ParseOrder(s string) (Order, error) {
	property, direction, _ := strings.Cut(s, ",")
	sortable := []string{"name", "createTimestamp", "modifyTimestamp", "source.type", "kind"}
	o := Order{property: aliases(strings.TrimSpace(property))}
	if !slices.Contains(sortable, o.property) {
		if near := strict.Near(o.property, sortable); near != "" {
			return Order{}, fmt.Errorf("cannot sort by %.100q: did you mean %q?", property, near)
		}
		return Order{}, fmt.Errorf("cannot sort by %.100q: use %s", property, strings.Join(sortable, ", "))
	}
	switch strings.ToUpper(strings.TrimSpace(direction)) {
	case "", "ASC":
	case "DESC":
		o.descending = true
	default:
		return Order{}, fmt.Errorf("%.100q is not an order: use ASC or DESC", direction)
	}
	return o, nil
}

func (o Order) compare(a, b *freshet.Topic) int {
	if o.descending {
		a, b = b, a
	}
	switch o.property {
	case "createTimestamp":
		return a.CreateTimestamp.Compare(b.CreateTimestamp)
	case "modifyTimestamp":
		return a.ModifyTimestamp.Compare(b.ModifyTimestamp)
	case "source.type":
		return cmp.Compare(a.Source.Type, b.Source.Type)
	case "kind":
		return cmp.Compare(a.Kind, b.Kind)
	}
	return cmp.Compare(a.Name, b.Name)
}
