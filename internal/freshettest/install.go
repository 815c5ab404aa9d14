package freshettest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// GoProgram is where a program of Go is that is no dependency of ours, by the package and the version that go
// install takes. It is built once, into the cache folder of the user; where it cannot be had, the test is
// skipped.
func GoProgram(t testing.TB, pkg, version string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(cache, "freshet-test", filepath.Base(pkg)+"-"+version)
	program := filepath.Join(folder, filepath.Base(pkg))
	if isFile(program) {
		return program
	}
	cmd := exec.Command(Program(t, "https://go.dev", "go"), "install", pkg+"@"+version) //nolint:gosec,noctx // a test names it
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "GOBIN="+folder, "GOFLAGS=-mod=mod")
	if out, err := cmd.CombinedOutput(); err != nil {
		Skip(t, "%s cannot be installed: %v: %.2000s", pkg, err, out)
	}
	return program
}
