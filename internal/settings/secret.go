package settings

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strings"

	"freshet"
)

// A Secret is what a configuration says of one: the secret itself, or where it is. It prints as Masked.
//
//	secret:NAME   the one that the server's configuration names so
//	env:NAME      the value of an environment variable of the server
//	file:PATH     the content of a file, without the line break at its end
//	plain:TEXT    TEXT, for a secret that begins with one of these words
type Secret string

func (s Secret) String() string { return Masked }

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return Masked }

// MarshalText hides the secret from logs and answers.
func (s Secret) MarshalText() ([]byte, error) { return []byte(Masked), nil }

// IsReference says whether it says where a secret is, rather than being one.
func (s Secret) IsReference() bool { return isReference(string(s)) }

// IsLiteral says whether it is the secret itself, which can be judged without a Vault.
func (s Secret) IsLiteral() bool { return s != "" && s != Masked && !s.IsReference() }

func isReference(text string) bool {
	kind, _, ok := strings.Cut(text, ":")
	return ok && (kind == "secret" || kind == "env" || kind == "file")
}

// maxSecret bounds a file that a secret is read from, in bytes: keys and certificates fit.
const maxSecret = 64 << 10

// A Vault finds secrets. Its zero value knows those alone that are written out.
type Vault struct {
	Named map[string]Secret // what secret:NAME stands for; may itself be any env: or file:
	Env   []string          // patterns of environment variables that env: may read, such as FRESHET_SECRET_*
	Files []string          // folders from which file: may read, such as /run/secrets
}

// Reveal is the secret that a configuration means. Files are read anew each time, so that one which is
// renewed is seen. Errors say what to mend, and nothing of a secret.
func (v Vault) Reveal(s Secret) (string, error) { return v.reveal(string(s), false) }

func (v Vault) reveal(text string, trusted bool) (string, error) {
	kind, rest, ok := strings.Cut(text, ":")
	if !ok {
		return text, nil
	}
	switch kind {
	case "plain":
		return rest, nil
	case "secret":
		named, ok := v.Named[rest]
		if !ok || trusted {
			return "", fmt.Errorf("there is no secret %.60q in the server's configuration, secrets.named", rest)
		}
		return v.reveal(string(named), true)
	case "env":
		if !trusted && !matches(v.Env, rest) {
			return "", fmt.Errorf("the environment variable %.60q is not one that secrets.env of the server's configuration allows", rest)
		}
		value, ok := os.LookupEnv(rest)
		if !ok || value == "" {
			return "", fmt.Errorf("the environment variable %.60q is not set", rest)
		}
		return value, nil
	case "file":
		return v.file(rest, trusted)
	}
	return text, nil
}

func matches(patterns []string, name string) bool {
	for _, p := range patterns {
		if ok, err := path.Match(p, name); err == nil && ok {
			return true
		}
	}
	return false
}

func (v Vault) file(name string, trusted bool) (string, error) {
	if trusted {
		return readSecret(os.Open(name)) //nolint:gosec // the operator named it
	}
	for _, folder := range v.Files {
		if inside, err := filepath.Rel(folder, name); err == nil && filepath.IsLocal(inside) {
			root, err := os.OpenRoot(folder)
			if err != nil {
				return "", fmt.Errorf("the folder %s of secrets.files cannot be opened", folder)
			}
			defer func() { _ = root.Close() }()
			return readSecret(root.Open(inside)) // a link that leads out of the folder is refused
		}
	}
	return "", fmt.Errorf("the file %.120q is in none of the folders that secrets.files of the server's configuration allows", name)
}

func readSecret(f *os.File, err error) (string, error) {
	if err != nil {
		if inner, ok := errors.AsType[*os.PathError](err); ok {
			return "", fmt.Errorf("the file %s of a secret cannot be read: %w", inner.Path, inner.Err)
		}
		return "", fmt.Errorf("the file of a secret cannot be read: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	n := len(data)
	switch {
	case err != nil:
		return "", fmt.Errorf("the file %s of a secret cannot be read: %w", f.Name(), err)
	case n > maxSecret:
		return "", fmt.Errorf("the file %s of a secret is larger than %d bytes", f.Name(), maxSecret)
	case n == 0:
		return "", fmt.Errorf("the file %s of a secret is empty", f.Name())
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}

// CheckSecrets returns what is wrong with the references to secrets in a configuration of the type of which
// of is a value.
func (v Vault) CheckSecrets(config json.RawMessage, of any) (found freshet.Invalid) {
	t := reflect.TypeOf(of)
	rewrite(config, func(m member) []byte {
		class := classOf(t, m.path)
		if s, ok := m.text(); ok && (class == aSecret || class == aHeader || tagged(t, m.path, "references")) && isReference(s) {
			if _, err := v.reveal(s, false); err != nil {
				found = append(found, freshet.FieldError{Pointer: Pointer(m.path...), Detail: err.Error()})
			}
		}
		return m.raw
	})
	return found
}

// RevealJSON is a JSON value in which each text that is written as a Secret may be, but for the names of members,
// is replaced by the secret. All else keeps its spelling.
func (v Vault) RevealJSON(value json.RawMessage) (json.RawMessage, error) {
	if value == nil {
		return nil, nil
	}
	var failed error
	revealed := rewrite(value, func(m member) []byte {
		s, isText := m.text()
		if !isText || !isReference(s) && !strings.HasPrefix(s, "plain:") {
			return m.raw
		}
		secret, err := v.reveal(s, false)
		if failed = cmp.Or(failed, err); err != nil {
			return m.raw
		}
		return spell(secret)
	})
	return revealed, failed
}

// RevealHeaders are headers with each reference to a secret replaced by the secret.
func (v Vault) RevealHeaders(h Headers) (map[string]string, error) {
	if len(h) == 0 {
		return nil, nil
	}
	shown := make(map[string]string, len(h))
	for name, value := range h {
		if isReference(value) {
			secret, err := v.reveal(value, false)
			if err != nil {
				return nil, fmt.Errorf("header %s: %w", name, err)
			}
			value = secret
		}
		shown[name] = value
	}
	return shown, nil
}
