package files_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"freshet/internal/flow/source/files"
)

// FuzzSplit holds what is true of all lines: together they are the file, and of CSV they are the records that
// the standard library finds.
func FuzzSplit(f *testing.F) {
	for _, text := range []string{"", "a", "a\n", "\n\n", "a\r\nb", "a,b\n1,\"x\ny\"\n", "\"a\"\"\n\"\nb\n", "a\"b\nc\n", "\"open\nnever\n", strings.Repeat("x", 3000) + "\ny\n"} {
		f.Add([]byte(text), true, uint16(100))
		f.Add([]byte(text), false, uint16(5000))
	}
	f.Fuzz(func(t *testing.T, data []byte, isCSV bool, limit uint16) {
		all, err := files.Split(bytes.NewReader(data), isCSV, ";", int64(limit))
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for i, l := range all {
			end := at + int(l.Size)
			if end > len(data) {
				t.Fatalf("line %d goes on behind the end", i)
			}
			whole := data[at:end]
			if l.Ended != (whole[len(whole)-1] == '\n') && (l.Ended || !isCSV) || !l.Ended && i != len(all)-1 {
				t.Errorf("line %d, %q: ended %v", i, whole, l.Ended)
			}
			if !l.TooLong && !bytes.Equal(l.Data, whole) {
				t.Errorf("line %d is %q, not %q", i, l.Data, whole)
			}
			if l.TooLong != (len(whole) > int(limit)+2) {
				t.Errorf("line %d of %d bytes, at most %d: too long %v", i, len(whole), limit, l.TooLong)
			}
			if last := whole[max(0, len(whole)-1024):]; !bytes.Equal(l.Last, last) {
				t.Errorf("line %d ends in %q, not %q", i, l.Last, last)
			}
			at = end
		}
		if at != len(data) {
			t.Errorf("%d of %d bytes are in lines", at, len(data))
		}
		if isCSV && int(limit) >= len(data) {
			sameRecords(t, data, all)
		}
	})
}

// sameRecords compares with what the standard library finds, where it finds nothing wrong.
func sameRecords(t *testing.T, data []byte, all []files.Line) {
	want, err := records(data)
	if err != nil {
		return
	}
	var got [][]string
	for _, l := range all {
		one, err := records(l.Data)
		if err != nil {
			t.Fatalf("%q of %q: %v", l.Data, data, err)
		}
		got = append(got, one...)
	}
	if !slices.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("%q: %q, want %q", data, got, want)
	}
}

func records(data []byte) ([][]string, error) {
	r := csv.NewReader(bytes.NewReader(data))
	r.Comma, r.FieldsPerRecord = ';', -1
	return r.ReadAll()
}

func TestSplitFails(t *testing.T) {
	broken := errors.New("broken")
	all, err := files.Split(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), false, "", 10)
	if !errors.Is(err, broken) || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
}
