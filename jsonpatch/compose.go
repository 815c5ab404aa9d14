package jsonpatch

import "fmt"

// Compose returns one patch that does what several patches do in turn to a document: for a reader that
// missed some. It is "[]" when they lead back to the document. The error is that of Apply.
//
// Where both ends are at hand as Documents, Append tells the way from one to the other directly.
func Compose(doc []byte, patches ...[]byte) ([]byte, error) {
	now := doc
	for i, patch := range patches {
		next, err := Apply(now, patch)
		if err != nil {
			return nil, fmt.Errorf("patch %d: %w", i, err)
		}
		now = next
	}
	return Diff(doc, now)
}
