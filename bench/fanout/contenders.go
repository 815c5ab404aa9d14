package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"freshet/client"
	"freshet/internal/load"
	"freshet/internal/selfsigned"
)

// The names by which the targets refer to contenders.
const (
	freshetName    = "freshet"
	bareName       = "bare epoll"
	plainName      = "net/http"
	nchanName      = "nchan"
	mercureName    = "mercure"
	centrifugoName = "centrifugo"
)

func contenders(sync string) []*contender {
	return []*contender{freshetServer(sync), self(bareName, "bare"), self(plainName, "plain"), nchan(), mercure(), centrifugo()}
}

// build runs go build in a directory.
func build(ctx context.Context, dir, output, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", output, pkg)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w: %.1000s", pkg, err, text)
	}
	return nil
}

// version is what a module of a dependency says it is.
func version(ctx context.Context, dir, module string) string {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", module)
	cmd.Dir = dir
	text, err := cmd.Output()
	if err != nil {
		return "unknown version"
	}
	return strings.TrimSpace(string(text))
}

func freshetServer(sync string) *contender {
	c := &contender{name: freshetName, version: "this tree, journal sync " + sync}
	var binary string
	c.prepare = func(ctx context.Context, dir string) error {
		binary = filepath.Join(dir, "freshet")
		return build(ctx, "..", binary, "./cmd/freshet")
	}
	c.command = func(dir string, port int, r row) ([]string, *load.Server, error) {
		config := fmt.Sprintf("listen: 127.0.0.1:%d\ndata: data\nlog: {level: error}\negress: {allow: [127.0.0.0/8]}\njournal: {sync: %s}\n", port, sync)
		base := fmt.Sprintf("http://127.0.0.1:%d", port)
		var roots *x509.CertPool
		if r.tls {
			pair, err := selfsigned.New()
			if err == nil {
				err = pair.Write(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
			}
			if err != nil {
				return nil, nil, err
			}
			roots = pair.Roots
			config += "tls: {cert: cert.pem, key: key.pem}\n"
			base = "https" + strings.TrimPrefix(base, "http")
		}
		if err := os.WriteFile(filepath.Join(dir, "freshet.yaml"), []byte(config), 0o600); err != nil {
			return nil, nil, err
		}
		cl, err := client.New(base, client.Config{RootCAs: roots})
		if err != nil {
			return nil, nil, err
		}
		server, err := load.Freshet(base, cl, roots, nil)
		if err != nil {
			return nil, nil, err
		}
		server.WebSocket = r.socket
		return []string{binary, "serve", "-c", "freshet.yaml"}, server, nil
	}
	return c
}

// self is one of the servers that this program has in it; they speak as Freshet does.
func self(name, kind string) *contender {
	c := &contender{name: name, version: "bench/fanout/" + kind}
	c.prepare = func(context.Context, string) error { return nil }
	c.command = func(_ string, port int, _ row) ([]string, *load.Server, error) {
		program, err := os.Executable()
		if err != nil {
			return nil, nil, err
		}
		server, err := load.Freshet("http://127.0.0.1", nil, nil, nil)
		if err != nil {
			return nil, nil, err
		}
		server.Create, server.Remove = nil, nil
		return []string{program, "serve", kind, fmt.Sprintf("127.0.0.1:%d", port)}, server, nil
	}
	return c
}

// nchan unpacks nginx and its module from Debian's packages, without installing them: no service is
// started, and no root is needed.
func nchan() *contender {
	c := &contender{name: nchanName}
	var root string
	c.prepare = func(ctx context.Context, dir string) error {
		root = filepath.Join(dir, "nginx")
		if err := os.MkdirAll(root, 0o750); err != nil {
			return err
		}
		script := `apt-get -qq download nginx libnginx-mod-nchan && for p in *.deb; do dpkg-deb -x "$p" .; dpkg-deb -f "$p" Package Version | paste -s -; done`
		cmd := exec.CommandContext(ctx, "sh", "-ec", script)
		cmd.Dir = root
		text, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("nginx and nchan from Debian's packages (apt-get update first?): %w", err)
		}
		var versions []string
		for line := range strings.Lines(string(text)) {
			if _, v, ok := strings.Cut(line, "Version: "); ok {
				versions = append(versions, strings.TrimSpace(v))
			}
		}
		c.version = "nchan and nginx of Debian: " + strings.Join(versions, ", ")
		if err := c.state(); err != nil {
			return err
		}
		if text, err := exec.CommandContext(ctx, filepath.Join(root, "usr/sbin/nginx"), "-v").CombinedOutput(); err != nil { //nolint:gosec // just unpacked
			return fmt.Errorf("nginx does not run here: %w: %s", err, text)
		}
		return nil
	}
	c.command = func(dir string, port int, _ row) ([]string, *load.Server, error) {
		user := ""
		if os.Getuid() == 0 {
			user = "user root;" // or the worker could not reach its files
		}
		config := fmt.Sprintf(nginxConfig, user, filepath.Join(root, "usr/lib/nginx/modules"), dir, port)
		path := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			return nil, nil, err
		}
		s := &load.Server{Earliest: "earliest"}
		s.Subscribe = func(topic, lastID string) (string, []string) {
			switch lastID {
			case "":
				return "/sub/" + topic, nil
			case s.Earliest:
				return "/old/" + topic, nil
			}
			return "/sub/" + topic, []string{"Last-Event-ID: " + lastID}
		}
		s.Publish = func(topic string, message []byte) (string, []string, []byte) {
			return "/pub/" + topic, []string{"Content-Type: application/json"}, message
		}
		return []string{filepath.Join(root, "usr/sbin/nginx"), "-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", path}, s, nil
	}
	return c
}

// state makes the directory that Debian's nginx cannot do without, whatever its configuration says.
func (c *contender) state() error {
	const dir = "/var/lib/nginx"
	if _, err := os.Stat(dir); err == nil {
		return nil // nginx is installed
	}
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // as the package does
		return fmt.Errorf("nginx needs %s: run as root, or install nginx: %w", dir, err)
	}
	c.clean = func() error { return os.RemoveAll(dir) }
	return nil
}

// nginxConfig has one worker, as one processor is what there is.
const nginxConfig = `
%[1]s
load_module %[2]s/ngx_nchan_module.so;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid %[3]s/nginx.pid;
error_log %[3]s/error.log error;
events { worker_connections 15000; }
http {
	access_log off;
	client_max_body_size 2m;
	client_body_buffer_size 128k;
	keepalive_requests 100000000;
	nchan_shared_memory_size 512m;
	server {
		listen 127.0.0.1:%[4]d backlog=4096;
		location ~ ^/pub/(.+)$ { nchan_publisher; nchan_channel_id $1; nchan_message_buffer_length 200; }
		location ~ ^/sub/(.+)$ { nchan_subscriber eventsource; nchan_channel_id $1; nchan_subscriber_first_message newest; }
		location ~ ^/old/(.+)$ { nchan_subscriber eventsource; nchan_channel_id $1; nchan_subscriber_first_message oldest; }
	}
}
`

const mercureKey = "a key for a benchmark on loopback, of no use elsewhere"

func mercure() *contender {
	c := &contender{name: mercureName}
	var binary string
	c.prepare = func(ctx context.Context, dir string) error {
		binary = filepath.Join(dir, "mercure")
		c.version = version(ctx, "fanout/peers/mercure", "github.com/dunglas/mercure") + ", hub of the Go module"
		return build(ctx, "fanout/peers/mercure", binary, ".")
	}
	token := "Authorization: Bearer " + jwt(`{"mercure":{"publish":["*"]}}`, mercureKey)
	c.command = func(dir string, port int, r row) ([]string, *load.Server, error) {
		argv := []string{binary, "-addr", fmt.Sprintf("127.0.0.1:%d", port), "-key", mercureKey}
		if r.history {
			argv = append(argv, "-bolt", filepath.Join(dir, "updates.db"))
		}
		s := &load.Server{Earliest: "earliest"}
		s.Subscribe = func(topic, lastID string) (string, []string) {
			target := "/.well-known/mercure?topic=" + topic
			if lastID == "" {
				return target, nil
			}
			return target, []string{"Last-Event-ID: " + lastID}
		}
		s.Publish = func(topic string, message []byte) (string, []string, []byte) {
			form := url.Values{"topic": {topic}, "data": {string(message)}}
			return "/.well-known/mercure", []string{"Content-Type: application/x-www-form-urlencoded", token}, []byte(form.Encode())
		}
		return argv, s, nil
	}
	return c
}

// jwt signs claims (RFC 7519) with HS256.
func jwt(claims, key string) string {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode([]byte(claims))
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return text + "." + encode(mac.Sum(nil))
}

func centrifugo() *contender {
	c := &contender{name: centrifugoName}
	var binary string
	const pkg = "github.com/centrifugal/centrifugo/v6"
	c.prepare = func(ctx context.Context, dir string) error {
		binary = filepath.Join(dir, "centrifugo")
		c.version = version(ctx, "fanout/peers/centrifugo", pkg) + ", memory engine, uni_sse and uni_websocket"
		return build(ctx, "fanout/peers/centrifugo", binary, pkg)
	}
	c.command = func(dir string, port int, r row) ([]string, *load.Server, error) {
		if r.history {
			return nil, nil, errors.New("what was missed comes as one event, so that the figures would not compare")
		}
		config := fmt.Sprintf(`{"http_server":{"address":"127.0.0.1","port":%d},"log":{"level":"error"},
			"client":{"insecure":true,"allowed_origins":["*"]},"http_api":{"insecure":true},"uni_sse":{"enabled":true},"uni_websocket":{"enabled":true},
			"channel":{"without_namespace":{"allow_subscribe_for_client":true,"allow_subscribe_for_anonymous":true}}}`, port)
		path := filepath.Join(dir, "config.json")
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			return nil, nil, err
		}
		s := &load.Server{WebSocket: r.socket}
		connection := "/connection/uni_sse"
		if r.socket {
			connection = "/connection/uni_websocket"
		}
		s.Subscribe = func(topic, _ string) (string, []string) {
			return connection + "?cf_connect=" + url.QueryEscape(`{"subs":{"`+topic+`":{}}}`), nil
		}
		s.Publish = func(topic string, message []byte) (string, []string, []byte) {
			body := append([]byte(`{"channel":"`+topic+`","data":`), message...)
			return "/api/publish", []string{"Content-Type: application/json"}, append(body, '}')
		}
		s.PublishBatch = func(topic string, messages [][]byte) (string, []string, []byte) {
			body := []byte(`{"commands":[`)
			for i, m := range messages {
				if i > 0 {
					body = append(body, ',')
				}
				body = append(append(body, `{"publish":{"channel":"`+topic+`","data":`...), m...)
				body = append(body, '}', '}')
			}
			return "/api/batch", []string{"Content-Type: application/json"}, append(body, ']', '}')
		}
		return []string{binary, "-c", path}, s, nil
	}
	return c
}
