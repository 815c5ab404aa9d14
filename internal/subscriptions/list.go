package subscriptions

import (
	"cmp"
	"slices"

	"freshet"
	"freshet/internal/search"
)

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

// ParseOrder reads a property to sort by.
func ParseOrder(s string) (search.Order, error) {
	return search.ParseOrder(s, []string{"id", "topic", "type", "mode", "status", "createTimestamp", "modifyTimestamp"}, alias)
}

func by(property string, a, b *stored) int {
	switch property {
	case "topic":
		return cmp.Compare(a.sub.Topic, b.sub.Topic)
	case "type":
		return cmp.Compare(a.sub.Type, b.sub.Type)
	case "mode":
		return cmp.Compare(a.sub.Mode, b.sub.Mode)
	case "status":
		return cmp.Compare(a.sub.Status, b.sub.Status)
	case "createTimestamp":
		return a.sub.CreateTimestamp.Compare(b.sub.CreateTimestamp)
	case "modifyTimestamp":
		return a.sub.ModifyTimestamp.Compare(b.sub.ModifyTimestamp)
	}
	return cmp.Compare(a.sub.ID, b.sub.ID)
}

// List returns one page of the subscriptions of a topic, or of all where it is empty, that q finds, as they are shown,
// and how many it finds in all.
func (r *Registry) List(topic freshet.TopicName, q search.Query) (page []freshet.Subscription, total int) {
	looks := q.Search.Names("progress")
	found := r.those(func(s *freshet.Subscription) bool {
		if topic != "" && s.Topic != topic {
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
	search.Sort(found, q.Sort, by)
	for _, s := range search.Page(found, q.Page, q.PageSize) {
		page = append(page, r.shown(s))
	}
	return page, len(found)
}
