package smile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"freshet/internal/flow/source/kafka/smile"
)

const enough = 1 << 20

// TestJackson reads what Jackson wrote; testdata/Fixtures.java made it.
func TestJackson(t *testing.T) {
	names, err := filepath.Glob("testdata/*.smile")
	if err != nil || len(names) < 10 {
		t.Fatalf("fixtures: %v, %v", names, err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			got, err := smile.JSON(read(t, name), enough)
			if err != nil {
				t.Fatal(err)
			}
			want := read(t, strings.TrimSuffix(name, ".smile")+".json")
			same(t, "", decode(t, got), decode(t, want))
		})
	}
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decode(t *testing.T, data []byte) (v any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil || dec.More() {
		t.Fatalf("%v in %.200s", err, data)
	}
	return v
}

// same compares values; numbers by what they are worth. Where Java spelled a binary fraction, it has to mean
// the same one.
func same(t *testing.T, at string, got, want any) {
	t.Helper()
	switch want := want.(type) {
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(want) {
			t.Fatalf("%s: %v, want %v", at, got, want)
		}
		for i := range want {
			same(t, at+"/"+string(rune('0'+i%10)), got[i], want[i])
		}
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok || len(got) != len(want) {
			t.Fatalf("%s: %v, want %v", at, got, want)
		}
		for name := range want {
			same(t, at+"/"+name, got[name], want[name])
		}
	case json.Number:
		n, ok := got.(json.Number)
		if !ok {
			t.Fatalf("%s: %v, want %v", at, got, want)
		}
		a, _ := new(big.Rat).SetString(n.String())
		b, _ := new(big.Rat).SetString(want.String())
		fa, _ := n.Float64()
		fb, _ := want.Float64()
		if a.Cmp(b) != 0 && (!strings.HasPrefix(at, "/float/") || float32(fa) != float32(fb)) && (!strings.HasPrefix(at, "/double/") || fa != fb) {
			t.Errorf("%s: %v, want %v", at, n, want)
		}
	default:
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", at, got, want)
		}
	}
}

const header = ":)\n"

func TestJSON(t *testing.T) {
	for _, tt := range []struct{ name, data, json, wrong string }{
		{"nothing", "", "", "header"},
		{"no header", "\xc0", "", "header"},
		{"JSON", `{"a":1}`, "", "header"},
		{"a later version", header + "\x10\xc0", "", "version"},
		{"a reserved flag", header + "\x08\xc0", "", "version"},
		{"no value", header + "\x00", "", "no end"},
		{"two values", header + "\x00\xc0\xc0", "", "more than one"},
		{"after the end", header + "\x00\xc0\xff\xc0", "", "more than one"},
		{"the end and no more", header + "\x00\xc0\xff", "0", ""},
		{"cut in a text", header + "\x00\x43ab", "", "no end"},
		{"cut in a long text", header + "\x00\xe0ab", "", "no end"},
		{"cut in a list", header + "\x00\xf8\xc2", "", "no end"},
		{"cut in an object", header + "\x00\xfa\x80a", "", "no end"},
		{"a list ended as an object", header + "\x00\xf8\xfb", "", "no token"},
		{"an object ended as a list", header + "\x00\xfa\xf9", "", "no token"},
		{"a value in the place of a name", header + "\x00\xfa\xfa", "", "no token"},
		{"reserved", header + "\x00\x2c", "", "no token"},
		{"not UTF-8", header + "\x00\x80\xff\xff", "", "UTF-8"},
		{"a reference to nothing", header + "\x02\x01", "", "nothing before"},
		{"a reference where none may be", header + "\x00\xf8\x40a\x01\xf9", "", "nothing before"},
		{"a reference", header + "\x02\xf8\x40a\x01\xf9", `["a","a"]`, ""},
		{"a long reference", header + "\x02\xf8\x40a\xec\x00\xf9", `["a","a"]`, ""},
		{"names by reference", header + "\x01\xfa\x80a\xfa\x40\xc2\xfb\xfb", `{"a":{"a":1}}`, ""},
		{"a name by reference where none may be", header + "\x00\xfa\x80a\xfa\x40\xc2\xfb\xfb", "", "nothing before"},
		{"raw data that was not announced", header + "\x00\xfd\x81a", "", "no token"},
		{"raw data", header + "\x04\xfd\x81a", `"YQ=="`, ""},
		{"raw data that is longer than all", header + "\x04\xfd\x7f\x7f\x7f\xbfa", "", "no end"},
		{"7-bit data that is longer than all", header + "\x00\xe8\x7f\x7f\x7f\xbfa", "", "no end"},
		{"7-bit data with 8 bits", header + "\x00\xe8\x81\xff\x01", "", "no binary data"},
		{"the largest number", header + "\x00\x25\x03\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\xbe", "9223372036854775807", ""},
		{"one bit more", header + "\x00\x25\x04\x00\x00\x00\x00\x00\x00\x00\x00\x80", "", "no number"},
		{"a number without an end", header + "\x00\x25\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80", "", "no number"},
		{"a number that ends as none does", header + "\x00\x24\xc0", "", "no number"},
		{"an integer of no bytes", header + "\x00\x26\x80", "", "too large, or empty"},
		{"too deep", header + "\x00" + strings.Repeat("\xf8", 1001) + strings.Repeat("\xf9", 1001), "", "too many levels"},
		{"deep", header + "\x00" + strings.Repeat("\xf8", 999) + strings.Repeat("\xf9", 999), strings.Repeat("[", 999) + strings.Repeat("]", 999), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := smile.JSON([]byte(tt.data), enough)
			if tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)) {
				t.Errorf("%q, %v; want an error with %q", got, err, tt.wrong)
			}
			if tt.wrong == "" && (err != nil || string(got) != tt.json) {
				t.Errorf("%q, %v; want %s", got, err, tt.json)
			}
		})
	}
}

// TestLimit has 64 bytes stand for much more.
func TestLimit(t *testing.T) {
	data := header + "\x02\xf8\x7f" + strings.Repeat("a", 64) + strings.Repeat("\x01", 100) + "\xf9"
	whole, err := smile.JSON([]byte(data), enough)
	if err != nil || len(whole) != 2+101*66+100 {
		t.Fatalf("%d bytes, %v", len(whole), err)
	}
	if got, err := smile.JSON([]byte(data), len(whole)); err != nil || !bytes.Equal(got, whole) {
		t.Errorf("at the limit: %d bytes, %v", len(got), err)
	}
	for _, limit := range []int{0, 1, 70, len(whole) - 1} {
		if got, err := smile.JSON([]byte(data), limit); !errors.Is(err, smile.ErrTooLarge) {
			t.Errorf("limit %d: %d bytes, %v", limit, len(got), err)
		}
	}
	binary := read(t, "testdata/binary-raw.smile")
	if _, err := smile.JSON(binary, 300); !errors.Is(err, smile.ErrTooLarge) {
		t.Errorf("binary data: %v", err)
	}
}

func FuzzJSON(f *testing.F) {
	names, _ := filepath.Glob("testdata/*.smile")
	for _, name := range names {
		if data := read(f, name); len(data) < 5000 {
			f.Add(data)
		}
	}
	f.Add([]byte(header + "\x07\xfa\x80a\xfa\x40\x40b\xfb\xfb\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := smile.JSON(data, 1<<16)
		if err == nil && (!json.Valid(got) || len(got) > 1<<16) {
			t.Errorf("%q is %d bytes of no JSON: %.500q", data, len(got), got)
		}
		if err != nil && (got != nil || strings.ContainsFunc(err.Error(), func(r rune) bool { return r > '~' })) {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func BenchmarkJSON(b *testing.B) {
	data := read(b, "testdata/many.smile")
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := smile.JSON(data, enough); err != nil {
			b.Fatal(err)
		}
	}
}
