package subscriptions

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

// A Query chooses subscriptions.
type Query struct {
	Topic    freshet.TopicName // empty: of any
	Search   search.Expression
	Sort     []Order // the first counts most; equals are in the order of their ids
	Page     int     // from 1
	PageSize int     // 1 to MaxPageSize
}

// ParseSearch reads a search for subscriptions.
func ParseSearch(s string) (search.Expression, error) {
	return search.Parse[freshet.Subscription](s, alias)
}

// alias are the names that the incumbent's users know.
func alias(property string) string {
	switch property {
	case "subscriptionMode":
		return "mode"
	case "subscriptionStatus":
		return "status"
	}
	return property
}

// An Order is a property to sort by.
type Order struct {
	property   string
	descending bool
}

// ParseOrder reads "property", "property,ASC" or "property,DESC".
func ParseOrder(s string) (Order, error) {
	property, direction, _ := strings.Cut(s, ",")
	sortable := []string{"id", "topic", "type", "mode", "status", "createTimestamp", "modifyTimestamp"}
	o := Order{property: alias(strings.TrimSpace(property))}
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

func (o Order) compare(a, b *freshet.Subscription) int {
	if o.descending {
		a, b = b, a
	}
	switch o.property {
	case "topic":
		return cmp.Compare(a.Topic, b.Topic)
	case "type":
		return cmp.Compare(a.Type, b.Type)
	case "mode":
		return cmp.Compare(a.Mode, b.Mode)
	case "status":
		return cmp.Compare(a.Status, b.Status)
	case "createTimestamp":
		return a.CreateTimestamp.Compare(b.CreateTimestamp)
	case "modifyTimestamp":
		return a.ModifyTimestamp.Compare(b.ModifyTimestamp)
	}
	return cmp.Compare(a.ID, b.ID)
}

// List returns one page of the subscriptions that q finds, as they are shown, and how many it finds in all.
func (r *Registry) List(q Query) (page []freshet.Subscription, total int) {
	looks := q.Search.Names("progress")
	found := r.those(func(s *freshet.Subscription) bool {
		if q.Topic != "" && s.Topic != q.Topic {
			return false
		}
		return looks || q.Search.Matches(s)
	})
	if looks {
		found = slices.DeleteFunc(found, func(s *stored) bool {
			shown := r.shown(s)
			return !q.Search.Matches(&shown)
		})
	}
	slices.SortStableFunc(found, func(a, b *stored) int {
		for _, o := range q.Sort {
			if order := o.compare(&a.sub, &b.sub); order != 0 {
				return order
			}
		}
		return 0
	})
	from := min(len(found), (max(q.Page, 1)-1)*q.PageSize)
	if max(q.Page, 1)-1 > len(found)/q.PageSize {
		from = len(found) // the product might overflow
	}
	for _, s := range found[from:min(len(found), from+q.PageSize)] {
		page = append(page, r.shown(s))
	}
	return page, len(found)
}
