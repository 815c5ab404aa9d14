// Package sftp reads files of other machines by SFTP.
package sftp

import (
	"context"
	"encoding/json"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/files"
	"freshet/internal/settings"
)

type config struct {
	Address    string           `json:"address" required:"true" address:"true" doc:"The server, as host or host:port; the port is 22 by default"`
	HostKey    string           `json:"hostKey" required:"true" address:"true" doc:"The key that the server must have: its fingerprint, SHA256:… as ssh-keygen -l shows it, or the public key itself, such as ssh-ed25519 AAAA…. Several are separated by commas"`
	User       string           `json:"user" required:"true" doc:"Who to log in as"`
	Password   settings.Secret  `json:"password" doc:"The password of user"`
	PrivateKey settings.Secret  `json:"privateKey" doc:"The private key of user, in PEM or as OpenSSH writes it; read anew for each connection"`
	Passphrase settings.Secret  `json:"passphrase" doc:"What privateKey is encrypted with"`
	Path       string           `json:"path" required:"true" address:"true" doc:"The file, or the folder with the files; what does not begin with / is in the folder where user arrives"`
	Timeout    freshet.Duration `json:"timeout" default:"PT10S" range:"PT0.1S..PT5M" doc:"How long the server may take to let user in, and for each of its answers"`
	files.Options
	files.Folder

	host string
	keys []hostKey
}

// A hostKey is what is known of one.
type hostKey struct {
	fingerprint string
	kind        string // of the key; "" where only the fingerprint is known
}

// Check is what the tags cannot say.
func (c *config) Check(v *settings.Verdict) {
	c.Options.Check(v)
	c.Folder.Check(v, c.Mode)
	if c.Address != "" {
		c.host = c.Address
		if _, _, err := net.SplitHostPort(c.host); err != nil {
			c.host = net.JoinHostPort(strings.Trim(c.host, "[]"), "22")
		}
		host, port, err := net.SplitHostPort(c.host)
		n, errPort := strconv.ParseUint(port, 10, 16)
		if err != nil || host == "" || errPort != nil || n == 0 || strings.ContainsAny(host, "/@ []") {
			v.Say("/address", "%.80q is not host or host:port", c.Address)
		}
	}
	for key := range strings.FieldsFuncSeq(c.HostKey, func(r rune) bool { return r == ',' || r == '\n' }) {
		known, ok := parseHostKey(strings.TrimSpace(key))
		if !ok {
			v.Say("/hostKey", "%.80q is neither a fingerprint, SHA256: and 43 characters, nor a public key such as ssh-ed25519 AAAA…", strings.TrimSpace(key))
		}
		c.keys = append(c.keys, known)
	}
	if c.Password == "" && c.PrivateKey == "" {
		v.Say("/password", "is required, or else privateKey")
	}
	if c.PrivateKey.IsLiteral() && !c.Passphrase.IsReference() {
		if _, err := c.signer(settings.Vault{}); err != nil {
			f, _ := source.FaultOf(err)
			v.Say("/privateKey", "%s", strings.TrimPrefix(f.Message, "privateKey "))
		}
	}
	if c.Passphrase != "" && c.PrivateKey == "" {
		v.Say("/passphrase", "is of no use without privateKey")
	}
	if strings.ContainsRune(c.Path, 0) {
		v.Say("/path", "has a control character")
	}
}

// fingerprintLength is that of SHA256: and a digest in base64 without padding.
const fingerprintLength = len("SHA256:") + 43

func parseHostKey(text string) (hostKey, bool) {
	if strings.HasPrefix(text, "SHA256:") {
		text = strings.TrimRight(text, "=")
		return hostKey{fingerprint: text}, len(text) == fingerprintLength
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil {
		return hostKey{}, false
	}
	return hostKey{ssh.FingerprintSHA256(key), key.Type()}, true
}

// Kind is the type sftp.
func Kind() source.Kind {
	return source.Kind{
		Name:    "sftp",
		Summary: "Reads a file of another machine by SFTP, or the files of a folder, as they change.",
		Notes: "**The connection** is made once and kept. The server must have one of the keys in `hostKey`; there is no first time that is trusted. `ssh-keyscan -t ed25519 HOST | ssh-keygen -lf -` shows its fingerprint, which whoever runs it should confirm. The password is also given to a server that asks for it by questions (keyboard-interactive). For each look there is a question or two, of which files there are and how they are; only what has changed is read.\n\n" +
			"The times of files are in seconds: a document that was changed is read twice, so that another change in the same second is seen. SFTP does not tell files from each other but by their content: one of lines in place of another, as by rotation, is noticed when it is shorter, or when its bytes before the offset are others, and what the old one had gained since the last look is then lost; a folder with names that sort by time has no such gap.\n\n" + files.Notes,
		Feeds:  []freshet.Kind{freshet.KindSnapshot, freshet.KindEvent},
		Config: config{},
		Check:  source.Check[config],
		Period: func(conf json.RawMessage) time.Duration {
			var c config
			_ = settings.Read(conf, &c) // in which Check finds nothing
			return time.Duration(c.PollingPeriod)
		},
		New: func(conf json.RawMessage, env source.Env) (source.Source, error) {
			var c config
			if wrong := settings.Read(conf, &c); wrong != nil {
				return nil, wrong
			}
			return &files.Reader{
				Options: c.Options, Folder: c.Folder, Where: strings.Join([]string{c.host, c.User, c.Path}, "\n"), Env: env,
				Connect: func(ctx context.Context) (files.Store, error) { return connect(ctx, &c, env) },
			}, nil
		},
	}
}
