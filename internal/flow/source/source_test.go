package source_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/freshettest"
	"freshet/internal/settings"
)

// What does not speak TLS is told from what cannot be reached.
func TestFaultWithoutTLS(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	_, overHTTP := server.Client().Do(r) //nolint:bodyclose // there is none
	_, bare := tls.Dial("tcp", address, &tls.Config{MinVersion: tls.VersionTLS12})
	for name, err := range map[string]error{"https": overHTTP, "TLS alone": bare} {
		if f, passing := source.FaultOf(err); f.Code != freshet.FaultConnection || passing || !strings.Contains(f.Message, "does not speak TLS") {
			t.Errorf("%s: %v, %t, of %v", name, f, passing, err)
		}
	}
}

func TestTLS(t *testing.T) {
	folder, cert, key, _ := freshettest.Certificate(t)
	text := func(name string) string {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	certificate, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 1 {
			_, _ = w.Write([]byte("known"))
		}
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	defer server.Close()

	vault := settings.Vault{Files: []string{folder}}
	for _, tt := range []struct {
		name  string
		c     source.TLS
		wrong string
	}{
		{"inline", source.TLS{CA: text(cert), Cert: settings.Secret(text(cert)), Key: settings.Secret(text(key)), ServerName: "localhost"}, ""},
		{"files", source.TLS{CA: "file:" + cert, Cert: settings.Secret("file:" + cert), Key: settings.Secret("file:" + key), ServerName: "localhost"}, ""},
		{"no authority", source.TLS{CA: "x"}, "tls.ca: there is no certificate"},
		{"another file", source.TLS{CA: "file:/etc/passwd"}, "secrets.files"},
		{"no pair", source.TLS{Cert: "x", Key: "y"}, "not a certificate and its key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config, err := tt.c.Config(vault)
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Errorf("%v, want %s", err, tt.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
			defer client.CloseIdleConnections()
			resp, err := client.Get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if body := make([]byte, 5); resp.StatusCode != http.StatusOK || !tt.c.Custom() {
				t.Errorf("%d", resp.StatusCode)
			} else if n, _ := resp.Body.Read(body); string(body[:n]) != "known" {
				t.Errorf("the server knows %q", body[:n])
			}
		})
	}
	var c struct {
		TLS source.TLS `json:"tls" doc:"x"`
	}
	if wrong := settings.Read([]byte(`{"tls":{"cert":"x"}}`), &c); len(wrong) != 1 || wrong[0].Pointer != "/tls/key" {
		t.Error(wrong)
	}
}

// A connection that ends is made again: soon after it was up, at growing distances while it never is.
func TestStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		sink := &freshettest.Sink{}
		source.Stay(ctx, sink, nil, func(context.Context, func()) error {
			at = append(at, time.Since(start))
			return errors.New("s3cret")
		})
		if n := len(at); n < 40 || n > 160 || sink.Fine() != 0 || len(sink.Faults()) != n {
			t.Errorf("%d attempts, %d times fine: %v", n, sink.Fine(), at)
		}
		for i := range at[1:] {
			if pause := at[i+1] - at[i]; pause > 15*time.Second {
				t.Errorf("a server that is back would have been left alone for %v", pause)
			}
		}
		if f := sink.Faults()[0]; f.Code != freshet.FaultConnection || strings.Contains(f.Message, "s3cret") || f.Time.IsZero() {
			t.Errorf("%+v", f)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		n := 0
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		sink := &freshettest.Sink{}
		source.Stay(ctx, sink, nil, func(_ context.Context, up func()) error {
			n++
			up()
			return source.Faultf(freshet.FaultHTTP+401, "who are you?")
		})
		if n < 5 || n > 20 || sink.Fine() != n || sink.Faults()[0].Code != 70401 {
			t.Errorf("%d attempts in a minute, %d times fine: %v", n, sink.Fine(), sink.Faults()[0])
		}
	})
	synctest.Test(t, func(t *testing.T) {
		n := 0
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		source.Stay(ctx, &freshettest.Sink{}, nil, func(_ context.Context, up func()) error {
			n++
			up()
			time.Sleep(10 * time.Second)
			return errors.New("ended")
		})
		if n < 54 { // a pause of at most a second each
			t.Errorf("%d connections of 10 s in ten minutes", n)
		}
	})
}

// What the sink could not store is offered again; what is at fault is not.
func TestOffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusals := 0
		sink := &freshettest.Sink{Refuse: func(source.Payload) error {
			if refusals++; refusals < 5 {
				return freshet.ErrUnavailable
			}
			return nil
		}}
		p := source.Payload{Data: []byte("1"), Time: time.Now(), Mark: "m"}
		if !source.Offer(t.Context(), sink, p) || len(sink.Payloads()) != 1 || refusals != 5 {
			t.Errorf("%v after %d", sink.Payloads(), refusals)
		}
		p.Data = []byte("no JSON")
		if !source.Offer(t.Context(), sink, p) || len(sink.Payloads()) != 1 {
			t.Errorf("%v", sink.Payloads())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		sink.Refuse = func(source.Payload) error { return freshet.ErrUnavailable }
		if source.Offer(ctx, sink, p) {
			t.Error("taken by a sink that refuses for ever")
		}
	})
}
