//go:build unix

package sftp_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/sftp"
	"freshet/internal/freshettest"
)

func TestDocument(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	to := &freshettest.Sink{}
	stop := s.run("a.json", nil, to)
	awaitFault(t, to, 70404, "no such file")
	s.write("a.json", `{"a":1}`)
	to.Await(t, `{"a":1}`)
	s.write("a.json", `{"a":2}`) // of the same size, maybe within the same second
	to.Await(t, `{"a":1}`, `{"a":2}`)
	stop()
	s.replace("a.json", `{"a":3}`)
	s.run("a.json", map[string]any{"hostKey": s.host.public + " comment"}, to)
	to.Await(t, `{"a":1}`, `{"a":2}`, `{"a":3}`)
	s.write("a.json", strings.Repeat(" ", 4001))
	awaitFault(t, to, freshet.FaultSize, "limits.payload")
}

func TestFolder(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	to := &freshettest.Sink{}
	if err := os.Mkdir(s.path("sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.write("b.json", `"b"`)
	s.write("a.json", `"a"`)
	s.write("x.txt", `0`)
	s.write("target", `"link"`)
	if err := os.Symlink("target", s.path("c.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", s.path("broken.json")); err != nil {
		t.Fatal(err)
	}
	stop := s.run("", map[string]any{"pattern": "*.json"}, to)
	to.Await(t, `"a"`, `"b"`, `"link"`)
	s.replace("d.json", `"d"`)
	to.Await(t, `"a"`, `"b"`, `"link"`, `"d"`)
	stop()
	s.replace("e.json", `"e"`)
	s.run("", map[string]any{"pattern": "*.json"}, to)
	to.Await(t, `"a"`, `"b"`, `"link"`, `"d"`, `"e"`)
}

func TestLines(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	to := &freshettest.Sink{}
	lines := map[string]any{"mode": "lines"}
	s.write("log", strings.Repeat("1\n", 5000))
	stop := s.run("log", lines, to)
	freshettest.WaitFor(t, 10*time.Second, "all lines", func() bool { return len(to.Payloads()) == 5000 })
	s.add("log", "2\n3")
	freshettest.WaitFor(t, 10*time.Second, "the next", func() bool { return len(to.Payloads()) == 5001 })
	stop()
	s.add("log", "3\n")
	s.run("log", lines, to)
	freshettest.WaitFor(t, 10*time.Second, "the rest", func() bool { return len(to.Payloads()) == 5002 })
	s.replace("log", "4\n")
	freshettest.WaitFor(t, 10*time.Second, "the new file", func() bool { return len(to.Payloads()) == 5003 })
	if got := fmt.Sprint(to.Payloads()[4999:]); got != "[1 2 33 4]" {
		t.Errorf("payloads: %s", got)
	}
}

// TestKilled kills the server while a log grows; nothing is lost or repeated, also by a restart in between.
func TestKilled(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	to := &freshettest.Sink{}
	lines := map[string]any{"mode": "lines"}
	stop := s.run("log", lines, to)
	away := 5 * time.Second
	if os.Getenv("FRESHET_TEST_ALL") != "" {
		away = 30 * time.Second
	}
	var want []string
	n := int(away/(10*time.Millisecond)) + 300
	for i := range n {
		want = append(want, fmt.Sprintf(`{"n":%d}`, i))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f, err := os.Create(s.path("log"))
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		for _, line := range want {
			_, _ = f.WriteString(line[:3])
			_, _ = f.WriteString(line[3:] + "\n")
			time.Sleep(10 * time.Millisecond)
		}
	}()
	freshettest.WaitFor(t, time.Minute, "some are there", func() bool { return len(to.Payloads()) > 10 })
	s.killAll()
	awaitFault(t, to, freshet.FaultConnection, "")
	time.Sleep(away / 2)
	stop()
	s.run("log", lines, to)
	time.Sleep(away / 2)
	s.Restart()
	<-done
	to.Await(t, want...)
}

func TestRefused(t *testing.T) {
	const refused = -1
	t.Parallel()
	s := newServer(t)
	s.write("a", `"a"`)
	other, locked := newKey(t, ""), newKey(t, "passphrase")
	for name, tt := range map[string]struct {
		options map[string]any
		code    int // refused: by the check of the configuration
		says    string
	}{
		"another fingerprint": {map[string]any{"hostKey": other.fingerprint}, freshet.FaultConfig, "none of the keys"},
		"another key":         {map[string]any{"hostKey": other.public}, freshet.FaultConfig, "none of the keys"},
		"a key of another kind": {
			map[string]any{"hostKey": ecdsaKey(t)},
			freshet.FaultConnection, "no host key of the kind",
		},
		"another user key":    {map[string]any{"privateKey": other.private}, 70401, "credentials"},
		"another user":        {map[string]any{"user": "nobody-of-that-name"}, 70401, "credentials"},
		"locked":              {map[string]any{"privateKey": locked.private}, refused, "passphrase is required"},
		"wrong passphrase":    {map[string]any{"privateKey": locked.private, "passphrase": "x"}, refused, "with passphrase"},
		"right passphrase":    {map[string]any{"privateKey": locked.private, "passphrase": "passphrase"}, 70401, "credentials"},
		"no key":              {map[string]any{"privateKey": "x"}, refused, "no private key"},
		"no such secret":      {map[string]any{"privateKey": "secret:x"}, freshet.FaultConfig, "secrets.named"},
		"nobody there":        {map[string]any{"address": fmt.Sprintf("127.0.0.1:%d", freshettest.Port(t))}, freshet.FaultConnection, "refused"},
		"a forbidden address": {map[string]any{"address": "10.0.0.1"}, freshet.FaultConfig, "10.0.0.1"},
		"several keys":        {map[string]any{"hostKey": other.fingerprint + ", " + s.host.fingerprint}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := *s
			s.TB = t
			if tt.code == refused {
				wrong := sftp.Kind().Check(json.RawMessage(s.config("a", tt.options)))
				if len(wrong) != 1 || wrong[0].Pointer != "/privateKey" || !strings.Contains(wrong[0].Detail, tt.says) {
					t.Errorf("%v", wrong)
				}
				return
			}
			to := &freshettest.Sink{}
			s.run("a", tt.options, to)
			if tt.code == 0 {
				to.Await(t, `"a"`)
				return
			}
			awaitFault(t, to, tt.code, tt.says)
			if got := to.Payloads(); len(got) > 0 {
				t.Errorf("read all the same: %q", got)
			}
		})
	}
}

func TestForbidden(t *testing.T) {
	t.Parallel()
	s := newServer(t, "open") // a file's mode would not keep root from reading it
	s.write("a", `1`)
	to := &freshettest.Sink{}
	s.run("a", nil, to)
	awaitFault(t, to, 70403, "")
}

func TestPassword(t *testing.T) {
	t.Parallel()
	host := newKey(t, "")
	path := t.TempDir() + "/a"
	if err := os.WriteFile(path, []byte(`"a"`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, asks := range []bool{false, true} {
		address := inProcess(t, host.signer, asks)
		config := func(password string) string {
			return fmt.Sprintf(`{"address":%q,"hostKey":%q,"user":"u","password":%q,"path":%q}`, address, host.fingerprint, password, path)
		}
		to := &freshettest.Sink{}
		freshettest.Run(t, sftp.Kind(), config("right"), freshettest.Env(t), to)
		to.Await(t, `"a"`)
		freshettest.Run(t, sftp.Kind(), config("wrong"), freshettest.Env(t), to)
		awaitFault(t, to, 70401, "credentials")
	}
}

// TestOtherLogin is a server that has no such login as the source has.
func TestOtherLogin(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	byPassword := inProcess(t, s.host.signer, false)
	for _, tt := range []struct {
		options map[string]any
		says    string
	}{
		{map[string]any{"privateKey": nil, "password": "p"}, "the server does not take password, and may let nobody in by one"},
		{map[string]any{"privateKey": nil, "password": "p", "address": onlyKeys(t, s.host.signer)}, "the server lets nobody in by password: it may want privateKey"},
		{map[string]any{"password": "p", "address": onlyKeys(t, s.host.signer)}, "the server does not take privateKey, and lets nobody in by password"},
		{map[string]any{"address": byPassword}, "the server lets nobody in by key: it may want password"},
		{map[string]any{"password": "p", "address": byPassword}, "the server does not take password, and lets nobody in by key"},
	} {
		to := &freshettest.Sink{}
		s.run("a", tt.options, to)
		awaitFault(t, to, 70401, tt.says)
	}
}

// TestSilent is a server that takes the connection and says nothing: the source gives it up in time, and ends
// at once.
func TestSilent(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	key := newKey(t, "")
	config := func(timeout string) string {
		return fmt.Sprintf(`{"address":%q,"hostKey":%q,"user":"u","password":"p","path":"a","timeout":%q}`, l.Addr(), key.fingerprint, timeout)
	}
	to := &freshettest.Sink{}
	freshettest.Run(t, sftp.Kind(), config("PT0.2S"), freshettest.Env(t), to)
	awaitFault(t, to, freshet.FaultConnection, "within 200ms")
	stop := freshettest.Run(t, sftp.Kind(), config("PT1M"), freshettest.Env(t), &freshettest.Sink{})
	time.Sleep(50 * time.Millisecond)
	began := time.Now()
	stop()
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v to end", took)
	}
}

// TestStop ends a source that is connected, at once.
func TestStop(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.write("a", `"a"`)
	to := &freshettest.Sink{}
	stop := s.run("a", map[string]any{"pollingPeriod": "PT1H"}, to)
	to.Await(t, `"a"`)
	began := time.Now()
	stop()
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v to end", took)
	}
}

func TestMistakes(t *testing.T) {
	k := sftp.Kind()
	key := newKey(t, "")
	base := func(options map[string]any) json.RawMessage {
		all := map[string]any{"address": "host", "hostKey": key.fingerprint, "user": "u", "password": "p", "path": "/a"}
		for name, value := range options {
			if all[name] = value; value == nil {
				delete(all, name)
			}
		}
		text, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, good := range []map[string]any{nil, {"address": "host:2222"}, {"address": "::1"}, {"address": "[::1]:22"}, {"hostKey": key.public + "\n" + key.fingerprint}} {
		if found := k.Check(base(good)); found != nil {
			t.Errorf("%v: %v", good, found)
		}
	}
	for _, tt := range []struct {
		name    string
		value   any
		pointer string
	}{
		{"address", nil, ""},
		{"address", "a/b", ""},
		{"address", "host:0", ""},
		{"address", "u@host", ""},
		{"hostKey", nil, ""},
		{"hostKey", "SHA256:abc", ""},
		{"hostKey", key.fingerprint + ",x", ""},
		{"user", nil, ""},
		{"path", nil, ""},
		{"password", nil, ""},
		{"passphrase", "p", ""},
		{"path", "a\x00", ""},
		{"timeout", "PT0S", ""},
		{"mode", "x", ""},
		{"pattern", "[", ""},
		{"order", "x", ""},
		{"what", 1, ""},
	} {
		config := base(map[string]any{tt.name: tt.value})
		found := k.Check(config)
		if len(found) != 1 || found[0].Pointer != "/"+tt.name {
			t.Errorf("%s: %v", config, found)
		}
		if _, err := k.New(config, source.Env{}); err == nil {
			t.Errorf("%s: a source was made", config)
		}
	}
	if got := k.Period(base(map[string]any{"pollingPeriod": "PT7S"})); got != 7*time.Second {
		t.Errorf("period: %v", got)
	}
}
