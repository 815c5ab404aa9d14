package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

// TestWebSocketClients is TestRealClients over WebSocket. Each client hangs up now and then, and comes back with
// the last id that it has.
func TestWebSocketClients(t *testing.T) {
	t.Parallel()
	ctx, live, pages, site := changingDocument(t)

	t.Run("ws", func(t *testing.T) {
		t.Parallel()
		judge(t, runSockets(t, ctx, nodeClients(t), "ws", "doc="+live), canonicalJS)
	})
	t.Run("node", func(t *testing.T) {
		t.Parallel()
		dir := nodeClients(t)
		if exec.CommandContext(ctx, "node", "--experimental-websocket", "-e", "WebSocket").Run() != nil {
			without(t, "this Node.js has no WebSocket of its own (20.10 or later)")
		}
		judge(t, runSockets(t, ctx, dir, "native", "doc="+live), canonicalJS)
	})
	t.Run("chromium", func(t *testing.T) {
		t.Parallel()
		judge(t, runChromium(t, ctx, nodeClients(t), pages, site, "socket.html", live), canonicalJS)
	})
	t.Run("gorilla", func(t *testing.T) {
		t.Parallel()
		for name, deflate := range map[string]bool{"plain": false, "deflate": true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				judge(t, followSocket(t, ctx, gorillaDial(deflate), live), canonical)
			})
		}
	})
	t.Run("coder", func(t *testing.T) {
		t.Parallel()
		for name, mode := range map[string]coder.CompressionMode{"plain": coder.CompressionDisabled, "deflate": coder.CompressionContextTakeover} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				judge(t, followSocket(t, ctx, coderDial(mode), live), canonical)
			})
		}
	})
}

// runSockets runs clients/socket.mjs to its end.
func runSockets(t *testing.T, ctx context.Context, dir, library string, topics ...string) []sight {
	t.Helper()
	node := exec.CommandContext(ctx, "node", append([]string{"--experimental-websocket", "socket.mjs", library}, topics...)...)
	node.Dir = dir
	var errors bytes.Buffer
	node.Stderr = &errors
	out, err := node.Output()
	if err != nil {
		t.Fatalf("node with %s: %v: %s", library, err, errors.Bytes())
	}
	return sights(t, out)
}

// A socketDial connects to a WebSocket, and gives what reads the next message and what hangs up.
type socketDial func(ctx context.Context, url string) (next func() ([]byte, error), hangUp func() error, err error)

func gorillaDial(deflate bool) socketDial {
	return func(ctx context.Context, url string) (func() ([]byte, error), func() error, error) {
		conn, _, err := (&gorilla.Dialer{EnableCompression: deflate}).DialContext(ctx, strings.Replace(url, "http", "ws", 1), nil)
		if err != nil {
			return nil, nil, err
		}
		next := func() ([]byte, error) {
			_, message, err := conn.ReadMessage()
			return message, err
		}
		hangUp := func() error {
			defer conn.Close()
			if err := conn.WriteMessage(gorilla.CloseMessage, gorilla.FormatCloseMessage(gorilla.CloseNormalClosure, "enough")); err != nil {
				return err
			}
			for {
				if _, _, err := conn.ReadMessage(); gorilla.IsCloseError(err, gorilla.CloseNormalClosure) {
					return nil
				} else if err != nil {
					return err
				}
			}
		}
		return next, hangUp, nil
	}
}

func coderDial(mode coder.CompressionMode) socketDial {
	return func(ctx context.Context, url string) (func() ([]byte, error), func() error, error) {
		conn, _, err := coder.Dial(ctx, url, &coder.DialOptions{CompressionMode: mode})
		if err != nil {
			return nil, nil, err
		}
		conn.SetReadLimit(1 << 20) // its default is 32 KiB
		next := func() ([]byte, error) {
			_, message, err := conn.Read(ctx)
			return message, err
		}
		return next, func() error { return conn.Close(coder.StatusNormalClosure, "enough") }, nil
	}
}

// followSocket follows the topic until the last version, 20 messages a connection.
func followSocket(t *testing.T, ctx context.Context, dial socketDial, topic string) (seen []sight) {
	t.Helper()
	var doc any
	id := ""
	for !isLast(doc) {
		url := topic
		if id != "" {
			url += "?lastEventId=" + id
		}
		next, hangUp, err := dial(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			text, err := next()
			if err != nil {
				t.Fatalf("after %d messages: %v", len(seen), err)
			}
			var m struct {
				ID, Type string
				Data     json.RawMessage
			}
			if err := json.Unmarshal(text, &m); err != nil {
				t.Fatal(err)
			}
			switch m.Type {
			case "snapshot":
				doc, err = value(m.Data)
			case "patch":
				doc, err = applyPatch(doc, m.Data)
			default:
				err = fmt.Errorf("a message of another type")
			}
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			id = m.ID
			seen = append(seen, sight{"socket", m.Type, m.ID, json.RawMessage(encode(doc))})
			if isLast(doc) {
				break
			}
		}
		if err := hangUp(); err != nil {
			t.Fatalf("hanging up after %d messages: %v", len(seen), err)
		}
	}
	return seen
}
