package freshettest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// NodeModules is where Node.js is, and a folder with packages of npm, each with its version, such as
// faye@1.4.3: for NODE_PATH. They are installed once, into the cache folder of the user; where they cannot be
// had, the test is skipped.
func NodeModules(t testing.TB, packages ...string) (node, modules string) {
	t.Helper()
	node, npm := Program(t, "apt-get install nodejs", "node", "nodejs"), Program(t, "apt-get install npm", "npm")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(cache, "freshet-test", strings.NewReplacer("@", "-", "/", "-").Replace(strings.Join(packages, "+")))
	modules = filepath.Join(folder, "node_modules")
	done := filepath.Join(folder, "installed")
	if isFile(done) {
		return node, modules
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(npm, append([]string{"install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder}, packages...)...) //nolint:gosec,noctx // a test names them
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		Skip(t, "%v cannot be installed by npm: %v: %.2000s", packages, err, out)
	}
	if err := os.WriteFile(done, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return node, modules
}
