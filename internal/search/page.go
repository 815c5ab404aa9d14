package search

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"freshet/internal/strict"
)

// Bounds of a page.
const (
	DefaultPageSize = 20
	MaxPageSize     = 1000
)

// A Query chooses from a list, and one page of what it chooses.
type Query struct {
	Search   Expression // the zero one finds everything
	Sort     []Order    // the first counts most; equals are in the order of their names
	Page     int        // from 1, the default
	PageSize int        // 1 to MaxPageSize; DefaultPageSize
}

// Page is one page of a list; number is from 1, and one beyond the end is empty.
func Page[T any](all []T, number, size int) []T {
	size = cmp.Or(size, DefaultPageSize)
	from, before := len(all), max(number, 1)-1
	if before <= len(all)/size { // else it is behind the end, and the product might overflow
		from = min(from, before*size)
	}
	return all[from:min(len(all), from+size)]
}

// An Order is a property to sort by.
type Order struct {
	Property   string
	Descending bool
}

// ParseOrder reads "property", "property,ASC" or "property,DESC". alias gives other names of properties.
func ParseOrder(s string, sortable []string, alias func(string) string) (Order, error) {
	property, direction, _ := strings.Cut(s, ",")
	o := Order{Property: alias(strings.TrimSpace(property))}
	if !slices.Contains(sortable, o.Property) {
		if near := strict.Near(o.Property, sortable); near != "" {
			return Order{}, fmt.Errorf("cannot sort by %.100q: did you mean %q?", property, near)
		}
		return Order{}, fmt.Errorf("cannot sort by %.100q: use %s", property, strings.Join(sortable, ", "))
	}
	switch strings.ToUpper(strings.TrimSpace(direction)) {
	case "", "ASC":
	case "DESC":
		o.Descending = true
	default:
		return Order{}, fmt.Errorf("%.100q is not an order: use ASC or DESC", direction)
	}
	return o, nil
}

// Sort sorts by orders, of which the first counts most; what they do not tell apart stays as it is. by compares two by
// a property.
func Sort[T any](all []T, orders []Order, by func(property string, a, b T) int) {
	slices.SortStableFunc(all, func(a, b T) int {
		for _, o := range orders {
			order := by(o.Property, a, b)
			if o.Descending {
				order = by(o.Property, b, a)
			}
			if order != 0 {
				return order
			}
		}
		return 0
	})
}
