package jsonpatch_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"

	"freshet/jsonpatch"
)

// pairs is how many random pairs the property test takes; JSONPATCH_PAIRS=1000000 for the long run.
func pairs(t *testing.T) int {
	if s := os.Getenv("JSONPATCH_PAIRS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("JSONPATCH_PAIRS: %v", err)
		}
		return n
	}
	return 1500
}

// openTriples returns a writer of from, patch, merge patch (null: cannot be said) and to of each pair, for judges in other languages, when
// JSONPATCH_TRIPLES names a file.
func openTriples(t *testing.T) *bufio.Writer {
	name := os.Getenv("JSONPATCH_TRIPLES")
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	t.Cleanup(func() {
		if err := errors.Join(w.Flush(), f.Close()); err != nil {
			t.Error(err)
		}
	})
	return w
}

// Whatever the two documents, the patch leads from one to the other: by the strict applier, by Apply,
// with and without a guide, along chains of versions.
func TestRandomPairs(t *testing.T) {
	differ, err := jsonpatch.NewDiffer(jsonpatch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	triples := openTriples(t)
	var old, now, spare jsonpatch.Document
	for i := range pairs(t) {
		m := newMaker(uint64(i) / 4) // four steps of each chain
		v := m.value(4)
		for range i % 4 {
			v = m.next(v)
		}
		from, want := clone(v), m.next(v)
		if m.IntN(20) == 0 {
			want = m.value(4)
		}
		a, b := m.text(from, i%3), m.text(want, m.IntN(3))
		if err := old.Parse(a, nil, jsonpatch.Limits{}); err != nil {
			t.Fatalf("pair %d: %s: %v", i, a, err)
		}
		if err := now.Parse(b, &old, jsonpatch.Limits{}); err != nil {
			t.Fatalf("pair %d: %s guided by %s: %v", i, b, a, err)
		}
		if err := spare.Parse(b, nil, jsonpatch.Limits{}); err != nil || string(spare.Bytes()) != string(now.Bytes()) {
			t.Fatalf("pair %d: %s read as %s with the guide %s; %v", i, b, now.Bytes(), a, err)
		}
		judge(t, differ, &old, &now, from, want)
		judge(t, differ, &old, &spare, from, want)
		if triples != nil {
			patch, _ := differ.Append(nil, &old, &now)
			if len(patch) == 0 {
				patch = []byte("[]")
			}
			merge, ok := differ.AppendMerge(nil, &old, &now)
			if !ok || len(merge) == 0 || string(merge) == "null" {
				merge = []byte("null")
			}
			fmt.Fprintf(triples, "{\"from\":%s,\"patch\":%s,\"merge\":%s,\"to\":%s}\n", old.Bytes(), patch, merge, now.Bytes())
		}
		if patch, _ := differ.Append(nil, &now, &spare); len(patch) > 0 {
			t.Fatalf("pair %d: %s to itself: %s", i, b, patch)
		}
		if t.Failed() {
			t.Fatalf("pair %d", i)
		}
	}
}

func judge(t *testing.T, differ *jsonpatch.Differ, old, now *jsonpatch.Document, from, want any) {
	t.Helper()
	patch, stats := differ.Append(nil, old, now)
	if len(patch) > len(now.Bytes())+40 {
		t.Errorf("%s to %s: %s is too long", old.Bytes(), now.Bytes(), patch)
	}
	if (len(patch) == 0) != (normal(from) == normal(want)) || (len(patch) == 0) != (stats.Ops == 0) {
		t.Errorf("%s to %s: %s, %+v", old.Bytes(), now.Bytes(), patch, stats)
	}
	if len(patch) == 0 {
		return
	}
	if got, err := strictApply(clone(from), patch); err != nil || normal(got) != normal(want) {
		t.Errorf("%s to %s: %s leads to %s, %v", old.Bytes(), now.Bytes(), patch, normal(got), err)
	}
	got, err := jsonpatch.Apply(old.Bytes(), patch)
	if err != nil || !jsonpatch.Equal(got, now.Bytes()) {
		t.Errorf("Apply(%s, %s) = %s, %v; want %s", old.Bytes(), patch, got, err, now.Bytes())
	}
}

// The order of members is no change, however deep, and whatever the guide was taken for.
func TestShuffledMembers(t *testing.T) {
	var d jsonpatch.Differ
	var old, now jsonpatch.Document
	for i := range 1500 {
		m := newMaker(uint64(i))
		v := m.value(6)
		a, b := m.text(v, 0), m.text(v, 0)
		if err := old.Parse(a, nil, jsonpatch.Limits{}); err != nil {
			t.Fatal(err)
		}
		if err := now.Parse(b, &old, jsonpatch.Limits{}); err != nil {
			t.Fatal(err)
		}
		if patch, _ := d.Append(nil, &old, &now); len(patch) > 0 {
			t.Fatalf("%s to %s: %s", a, b, patch)
		}
	}
}
