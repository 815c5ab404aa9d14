package client_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"freshet"
	"freshet/client"
)

// Follow a topic and look at what each change did.
func ExampleClient_Follow() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream") // a real server is: freshet dev
		_, _ = io.WriteString(w, "event: snapshot\ndata: {\"eur\":1.08}\nid: 1-1-9f86d081\n\n"+
			"event: patch\ndata: [{\"op\":\"replace\",\"path\":\"/eur\",\"value\":1.09}]\nid: 2-4-c2a1b7f0\n\n")
	}))
	defer server.Close()

	c, err := client.New(server.URL, client.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for u, err := range c.Follow(context.Background(), "rates", client.FollowOptions{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		changes, _ := u.Changes()
		for _, change := range changes {
			fmt.Printf("%s: %s → %s\n", change.Path, change.Old, change.Value)
		}
		fmt.Printf("revision %d: %s\n", u.Revision, u.Doc)
		if u.Type == freshet.TypePatch {
			break
		}
	}
	// Output:
	// revision 1: {"eur":1.08}
	// /eur: 1.08 → 1.09
	// revision 2: {"eur":1.09}
}
