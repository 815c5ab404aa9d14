package source

import (
	"errors"
	"net/http"
)

// A Verifier is the Source of a Kind that is Pushed and takes only what proves where it comes from.
type Verifier interface {
	// Verify judges a post before anything of it is taken. It is called by many at once, whether the source runs
	// or not. Errors: ErrUnproven, ErrReplayed; any other is the server's own fault. Those two say what is wrong
	// and nothing of what would be right, as whoever posts gets to read them.
	Verify(Delivery) (Admission, error)
}

// A Delivery is a post as it came.
type Delivery struct {
	Header http.Header
	Body   []byte
}

// An Admission is what a Verifier makes of a post that it admits.
type Admission struct {
	Key    string // by which the post is known when it comes again; "": by nothing
	Once   bool   // none who sends sends it twice: where it is known already, it is a replay
	Reply  []byte // JSON that is answered, and nothing is stored; nil: it is to be stored
	Failed func() // called where it was not stored, so that it may come again; may be nil
	// Envelope is what is stored of a payload of the post; nil: the payload itself.
	Envelope func(payload []byte) []byte
}

var (
	// ErrUnproven says that a post does not prove where it comes from.
	ErrUnproven = errors.New("the delivery is not signed as it has to be")
	// ErrReplayed says that a post came before.
	ErrReplayed = errors.New("the delivery came before")
)
