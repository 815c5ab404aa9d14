// Judge applies patches and merge patches with evanphx/json-patch and says where it does not get to the new document.
// It reads lines of {"from":…,"patch":…,"merge":…,"to":…}, where merge is null if there is none. That library has bugs of its own: it panics on some
// arrays with null, does not find members with the empty name, takes no document that is a scalar, and drops the
// members that are null from objects in the arrays of a merge patch, which RFC 7396 leaves as they are;
// such lines are counted apart.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"

	evanphx "github.com/evanphx/json-patch/v5"
)

func main() {
	if err := run(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
}

type triple struct{ From, Patch, Merge, To json.RawMessage }

func run(r io.Reader) error {
	lines := bufio.NewReaderSize(r, 1<<20)
	right, apart, wrong := 0, 0, 0
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		var t triple
		if err := json.Unmarshal(line, &t); err != nil {
			return err
		}
		switch err := judge(t); {
		case err == nil:
			right++
		case knownBug(t, err):
			apart++
		default:
			if wrong++; wrong <= 10 {
				fmt.Printf("%v: %s", err, line)
			}
		}
	}
	fmt.Printf("evanphx/json-patch: %d right, %d that it has known bugs with, %d wrong\n", right, apart, wrong)
	if wrong > 0 {
		return fmt.Errorf("%d patches are wrong", wrong)
	}
	return nil
}

var (
	errPanic = errors.New("it panicked")
	errMerge = errors.New("by the merge patch it gets elsewhere")
)

func knownBug(t triple, err error) bool {
	scalar := func(text []byte) bool { return text[0] != '{' && text[0] != '[' }
	nulls := errors.Is(err, errMerge) && bytes.Contains(t.To, []byte(":null")) && bytes.Contains(t.To, []byte("["))
	return nulls || errors.Is(err, errPanic) || bytes.Contains(t.Patch, []byte(`/"`)) || bytes.Contains(t.Patch, []byte(`//`)) ||
		scalar(t.From) || scalar(t.To)
}

func judge(t triple) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	patch, err := evanphx.DecodePatch(t.Patch)
	if err != nil {
		return err
	}
	got, err := patch.Apply(t.From)
	if err != nil {
		return err
	}
	if a, b := decode(got), decode(t.To); !reflect.DeepEqual(a, b) {
		return fmt.Errorf("it gets to %s", got)
	}
	if t.Merge[0] != '{' || t.From[0] != '{' { // it merges objects only
		return nil
	}
	if got, err = evanphx.MergePatch(t.From, t.Merge); err != nil {
		return fmt.Errorf("merge patch: %w", err)
	}
	if a, b := decode(got), decode(t.To); !reflect.DeepEqual(a, b) {
		return fmt.Errorf("%w: to %s", errMerge, got)
	}
	return nil
}

func decode(text []byte) (v any) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return err
	}
	return v
}
