//go:build unix

package sftp_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	pkgsftp "github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/sftp"
	"freshet/internal/freshettest"
)

// A key is a private key as a file has it, and its public key as a line has it.
type key struct {
	private, public, fingerprint string
	signer                       ssh.Signer
}

func newKey(t testing.TB, passphrase string) key {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	public := signer.PublicKey()
	return key{string(pem.EncodeToMemory(block)), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))), ssh.FingerprintSHA256(public), signer}
}

// ecdsaKey is a public key of another kind.
func ecdsaKey(t testing.TB) string {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
}

// A server is OpenSSH's, which lets the user of the test in, to a folder.
type server struct {
	testing.TB
	*freshettest.Process
	address, dir, pid string
	host, user        key
	name              string
}

// newServer starts one. denied are the requests of SFTP that it refuses.
func newServer(t testing.TB, denied ...string) *server {
	t.Helper()
	program := freshettest.Program(t, "apt-get install openssh-server", "sshd")
	sub := "/usr/lib/openssh/sftp-server"
	if _, err := os.Stat(sub); err != nil {
		sub = "internal-sftp"
	}
	if len(denied) > 0 {
		sub += " -P " + strings.Join(denied, ",")
	}
	who, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if who.Uid == "0" { // sshd then wants a folder of its own
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	port := freshettest.Port(t)
	etc := t.TempDir()
	s := &server{TB: t, address: fmt.Sprintf("127.0.0.1:%d", port), dir: t.TempDir(), pid: filepath.Join(etc, "pid"), host: newKey(t, ""), user: newKey(t, ""), name: who.Username}
	config := fmt.Sprintf("ListenAddress 127.0.0.1\nPort %d\nHostKey %s/host\nAuthorizedKeysFile %s/authorized\nPidFile %s\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nSubsystem sftp %s\n", port, etc, etc, s.pid, sub)
	for name, text := range map[string]string{"config": config, "host": s.host.private, "authorized": s.user.public + "\n"} {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.Process = freshettest.Start(t, s.address, func() *exec.Cmd {
		return exec.Command(program, "-D", "-e", "-f", filepath.Join(etc, "config"))
	})
	t.Cleanup(s.killAll)
	return s
}

// killAll kills the server with all that serve a connection, which are sessions of their own.
func (s *server) killAll() {
	text, err := os.ReadFile(s.pid)
	if err != nil {
		return
	}
	all := []string{strings.TrimSpace(string(text))}
	for i := 0; i < len(all); i++ {
		children, _ := filepath.Glob("/proc/[0-9]*/stat")
		for _, stat := range children {
			line, _ := os.ReadFile(stat)
			_, rest, _ := strings.Cut(string(line), ") ")
			if f := strings.Fields(rest); len(f) > 1 && f[1] == all[i] {
				all = append(all, filepath.Base(filepath.Dir(stat)))
			}
		}
	}
	_ = os.Remove(s.pid)
	s.Kill()
	for _, one := range all[1:] {
		if n, err := strconv.Atoi(one); err == nil {
			_ = syscall.Kill(n, syscall.SIGKILL)
		}
	}
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *server) write(name, text string) {
	s.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

func (s *server) replace(name, text string) {
	s.Helper()
	s.write(".new", text)
	if err := os.Rename(s.path(".new"), s.path(name)); err != nil {
		s.Fatal(err)
	}
}

func (s *server) add(name, text string) {
	s.Helper()
	f, err := os.OpenFile(s.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		s.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		s.Fatal(err)
	}
}

// config is a configuration with the members of options in place of its own.
func (s *server) config(path string, options map[string]any) string {
	s.Helper()
	all := map[string]any{
		"address": s.address, "hostKey": s.host.fingerprint, "user": s.name, "privateKey": s.user.private,
		"path": s.path(path), "pollingPeriod": "PT0.5S",
	}
	for name, value := range options {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		s.Fatal(err)
	}
	return string(text)
}

func (s *server) run(path string, options map[string]any, to source.Sink) (stop func()) {
	s.Helper()
	env := freshettest.Env(s)
	env.Limit = 4000
	return freshettest.Run(s, sftp.Kind(), s.config(path, options), env, to)
}

func awaitFault(t testing.TB, to *freshettest.Sink, code int, says string) {
	t.Helper()
	freshettest.WaitFor(t, 10*time.Second, fmt.Sprintf("fault %d %q", code, says), func() bool {
		return slices.ContainsFunc(to.Faults(), func(f freshet.Fault) bool { return f.Code == code && strings.Contains(f.Message, says) })
	})
}

// inProcess is a server of the test's own process, which lets in by password, or by asking for it.
func inProcess(t testing.TB, host ssh.Signer, asks bool) (address string) {
	t.Helper()
	config := &ssh.ServerConfig{}
	config.AddHostKey(host)
	if asks {
		config.KeyboardInteractiveCallback = func(c ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask(c.User(), "", []string{"Password: "}, []bool{false})
			if err != nil || len(answers) != 1 || answers[0] != "right" {
				return nil, fmt.Errorf("wrong: %v", err)
			}
			return nil, nil
		}
	} else {
		config.PasswordCallback = func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			if string(password) != "right" {
				return nil, fmt.Errorf("wrong")
			}
			return nil, nil
		}
	}
	return listen(t, config)
}

// onlyKeys is a server that lets in by key alone, and knows none.
func onlyKeys(t testing.TB, host ssh.Signer) (address string) {
	t.Helper()
	config := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
		return nil, fmt.Errorf("unknown")
	}}
	config.AddHostKey(host)
	return listen(t, config)
}

func listen(t testing.TB, config *ssh.ServerConfig) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			go serve(conn, config)
		}
	}()
	return l.Addr().String()
}

func serve(conn net.Conn, config *ssh.ServerConfig) {
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		_ = conn.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range requests {
				_ = r.Reply(r.Type == "subsystem", nil)
			}
		}()
		s, err := pkgsftp.NewServer(channel, pkgsftp.ReadOnly())
		if err != nil {
			return
		}
		go func() { _ = s.Serve() }()
	}
}
