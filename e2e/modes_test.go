package e2e_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestModes follows a document of 200 changes by merge patches and by changes of items, over connections that are
// dropped and cut. Whoever applies what comes, with code that is not ours, always has the source's document; of
// changes but for the order of items.
func TestModes(t *testing.T) {
	t.Parallel()
	const last = 200
	s := serve(t, pushed)
	dir, errNode := installed()
	first(t, s, last)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	var all sync.WaitGroup
	for _, tt := range []struct {
		mode      string
		canon, js func(string) string
	}{
		{"merge-patch", canonical, canonicalJS},
		{"changes", sorted, func(text string) string { return sorted(canonicalJS(text)) }},
	} {
		for seed := range uint64(3) {
			all.Go(func() { dropMode(t, s, tt.mode, last, seed, tt.canon) })
		}
		proxy := newCutter(t, strings.TrimPrefix(s.URL, "http://"), func(n int) int {
			if n > 4 { // it comes back after a second or so
				return -1
			}
			return 500 + 1789*n
		})
		if errNode != nil {
			t.Run("node", func(t *testing.T) { without(t, "%v", errNode) })
			continue
		}
		all.Go(func() {
			seen := runNode(t, ctx, dir, "es5", fmt.Sprintf("%s=http://%s/live/doc?mode=%s", tt.mode, proxy.addr, tt.mode))
			judgeMode(t, tt.mode, seen, last, tt.js)
		})
	}
	all.Go(func() { feed(t, s, 2, last, last, 20*time.Millisecond, nil) })
	all.Wait()
}

// dropMode is a reader that drops its connection after some events and comes back.
func dropMode(t *testing.T, s *server, mode string, last int, seed uint64, canon func(string) string) {
	random := rand.New(rand.NewPCG(seed, 5))
	r := replica{want: func(n int) string { return document(n, last) }, canon: canon}
	connections := 0
	err := dropping(t, random, func(ctx context.Context) (bool, error) {
		connections++
		drop := r.snapshots + r.patches + 1 + random.IntN(20)
		err := r.follow(ctx, s.URL+"/live/doc?mode="+mode, func() bool { return isLast(r.doc) || r.snapshots+r.patches >= drop })
		return isLast(r.doc), err
	})
	if err != nil || len(r.resets) > 0 {
		t.Errorf("reader %d by %s, after %d connections, at %s: %v, resets %v", seed, mode, connections, r.id, err, r.resets)
	}
	if r.patches < 50 || r.snapshots > r.patches {
		t.Errorf("reader %d by %s had %d events and %d snapshots", seed, mode, r.patches, r.snapshots)
	}
	t.Logf("reader %d by %s: %d connections, %d snapshots, %d others", seed, mode, connections, r.snapshots, r.patches)
}

func judgeMode(t *testing.T, mode string, seen []sight, last int, canon func(string) string) {
	types := map[string]int{}
	for _, v := range seen {
		types[v.Type]++
		if got, want := canon(string(v.Doc)), canon(document(version(string(v.Doc)), last)); got != want {
			t.Errorf("%s %s leads to\n%s\nwant\n%s", v.Type, v.ID, got, want)
			return
		}
	}
	if len(seen) == 0 || version(string(seen[len(seen)-1].Doc)) != last || types[mode] < 8 {
		t.Errorf("in Node.js, by %s: %v", mode, types)
	}
	t.Logf("in Node.js: %v", types)
}

// sorted is canonical with the items in the order of their ids.
func sorted(text string) string {
	v, err := value([]byte(text))
	if err != nil {
		return "not JSON: " + text
	}
	if doc, ok := v.(map[string]any); ok {
		if items, ok := doc["items"].([]any); ok {
			slices.SortFunc(items, func(a, b any) int { return cmp.Compare(encode(a), encode(b)) })
		}
	}
	return encode(v)
}

// mergePatch applies a merge patch as section 2 of RFC 7396 has it. It shares no code with Freshet.
func mergePatch(doc any, patch []byte) (any, error) {
	p, err := value(patch)
	if err != nil {
		return nil, err
	}
	return merged(doc, p), nil
}

func merged(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	old, _ := target.(map[string]any)
	now := maps.Clone(old)
	if now == nil {
		now = map[string]any{}
	}
	for name, v := range p {
		if v == nil {
			delete(now, name)
		} else {
			now[name] = merged(now[name], v)
		}
	}
	return now
}

// applyChanges applies changes of the items of /items, and a patch of the rest, by the words of docs/protocol.md. It
// shares no code with Freshet.
func applyChanges(doc any, changes []byte) (any, error) {
	var c struct {
		Created, Updated, Deleted []struct {
			Array                string
			Key, Value, Previous json.RawMessage
		}
		Keys  map[string]string
		Patch json.RawMessage
	}
	if err := json.Unmarshal(changes, &c); err != nil {
		return nil, err
	}
	if c.Patch != nil {
		var err error
		if doc, err = applyPatch(doc, c.Patch); err != nil {
			return nil, err
		}
	}
	if len(c.Created)+len(c.Updated)+len(c.Deleted) == 0 {
		return doc, nil
	}
	d, ok := doc.(map[string]any)
	list, isList := d["items"].([]any)
	if !ok || !isList || !maps.Equal(c.Keys, map[string]string{"/items": "id"}) {
		return nil, fmt.Errorf("keys %v", c.Keys)
	}
	table := map[string]any{}
	for _, item := range list {
		table[encode(item.(map[string]any)["id"])] = item
	}
	for _, e := range slices.Concat(c.Deleted, c.Updated) {
		if had := table[string(e.Key)]; had == nil || e.Array != "/items" || encode(had) != canonical(string(e.Previous)) {
			return nil, fmt.Errorf("item %s was %s and not %s", e.Key, encode(had), e.Previous)
		}
		delete(table, string(e.Key))
	}
	for _, e := range slices.Concat(c.Updated, c.Created) {
		if table[string(e.Key)] != nil || e.Array != "/items" {
			return nil, errors.New("an item is created twice")
		}
		v, err := value(e.Value)
		if err != nil {
			return nil, err
		}
		table[string(e.Key)] = v
	}
	now := maps.Clone(d)
	now["items"] = slices.Collect(maps.Values(table))
	return now, nil
}
