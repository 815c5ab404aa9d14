package freshettest

import (
	"path/filepath"
	"testing"

	"freshet/internal/selfsigned"
)

// Certificate makes a certificate of this machine, and its key, and writes them to two files of a folder of its own.
func Certificate(t testing.TB) (folder, cert, key string, pair selfsigned.Pair) {
	t.Helper()
	pair, err := selfsigned.New()
	if err != nil {
		t.Fatal(err)
	}
	folder = t.TempDir()
	cert, key = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	if err := pair.Write(cert, key); err != nil {
		t.Fatal(err)
	}
	return folder, cert, key, pair
}
