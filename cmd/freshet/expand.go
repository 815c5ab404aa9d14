package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"freshet/client"
	"freshet/jsonpatch"
)

// expand replaces the replacement of one object or array by another, which a patch uses where it is
// shorter, by what differs inside: people want to see 101.20 → 101.35, not two whole objects.
func expand(changes []client.Change) []client.Change {
	var all []client.Change
	for _, c := range changes {
		if c.Op == "replace" && c.Old != nil {
			all = append(all, inside(c, 0)...)
		} else {
			all = append(all, c)
		}
	}
	return all
}

// maxInside bounds how deep expand looks, and with it what a line's path looks like.
const maxInside = 16

// inside lists what differs between the old value of a replacement and its new one. Arrays that are
// longer or shorter than before are left whole: which item is which is not known.
func inside(c client.Change, depth int) []client.Change {
	before, after, ok := members(c.Old, c.Value)
	if !ok || depth == maxInside {
		return []client.Change{c}
	}
	names := slices.Sorted(maps.Keys(before))
	for name := range after {
		if _, was := before[name]; !was {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { // items of arrays by number
		if len(a) != len(b) && digits(a) && digits(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	var all []client.Change
	for _, name := range names {
		path := c.Path + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		old, was := before[name]
		value, is := after[name]
		switch {
		case !is:
			all = append(all, client.Change{Op: "remove", Path: path, Old: old})
		case !was:
			all = append(all, client.Change{Op: "add", Path: path, Value: value})
		case !jsonpatch.Equal(old, value):
			all = append(all, inside(client.Change{Op: "replace", Path: path, Value: value, Old: old}, depth+1)...)
		}
	}
	return all
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// members reads two objects, or two arrays of one length, by the names of what they hold.
func members(old, value []byte) (before, after map[string]json.RawMessage, ok bool) {
	old, value = bytes.TrimSpace(old), bytes.TrimSpace(value)
	if len(old) == 0 || len(value) == 0 || old[0] != value[0] {
		return nil, nil, false
	}
	switch old[0] {
	case '{':
		ok = json.Unmarshal(old, &before) == nil && json.Unmarshal(value, &after) == nil
	case '[':
		var a, b []json.RawMessage
		ok = json.Unmarshal(old, &a) == nil && json.Unmarshal(value, &b) == nil && len(a) == len(b)
		before, after = numbered(a), numbered(b)
	}
	return before, after, ok
}

func numbered(items []json.RawMessage) map[string]json.RawMessage {
	m := make(map[string]json.RawMessage, len(items))
	for i, item := range items {
		m[strconv.Itoa(i)] = item
	}
	return m
}
