package file_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/file"
	"freshet/internal/freshettest"
)

// A folder is where a test keeps its files. A source may read all of it.
type folder struct {
	testing.TB
	dir string
}

func newFolder(t testing.TB) folder {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return folder{t, dir}
}

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f folder) write(name, text string) {
	f.Helper()
	if err := os.WriteFile(f.path(name), []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
}

// replace puts a file in its place at once.
func (f folder) replace(name, text string) {
	f.Helper()
	f.write(".new", text)
	f.rename(".new", name)
}

func (f folder) rename(from, to string) {
	f.Helper()
	if err := os.Rename(f.path(from), f.path(to)); err != nil {
		f.Fatal(err)
	}
}

func (f folder) add(name, text string) {
	f.Helper()
	out, err := os.OpenFile(f.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := out.WriteString(text); err != nil {
		f.Fatal(err)
	}
	if err := out.Close(); err != nil {
		f.Fatal(err)
	}
}

// run reads a path in the folder.
func (f folder) run(path, options string, to source.Sink) (stop func()) {
	f.Helper()
	env := freshettest.Env(f)
	env.Folders = []string{f.dir}
	env.Limit = 4000
	return freshettest.Run(f, file.Kind(), fmt.Sprintf(`{"path":%q%s}`, f.path(path), options), env, to)
}

// awaitFault waits for a fault of a code that says something.
func awaitFault(t testing.TB, to *freshettest.Sink, code int, says string) {
	t.Helper()
	freshettest.WaitFor(t, 10*time.Second, fmt.Sprintf("fault %d %q, of %v", code, says, to.Faults()), func() bool {
		return slices.ContainsFunc(to.Faults(), func(f freshet.Fault) bool { return f.Code == code && strings.Contains(f.Message, says) })
	})
}

func TestDocument(t *testing.T) {
	f := newFolder(t)
	to := &freshettest.Sink{}
	stop := f.run("a.json", ``, to)
	awaitFault(t, to, 70404, "no such file")
	f.write("a.json", `{"a":1}`)
	to.Await(t, `{"a":1}`)
	f.replace("a.json", `{"a":2}`)
	to.Await(t, `{"a":1}`, `{"a":2}`)
	f.replace("a.json", `{"a":2}`) // the same again is no news
	stop()
	f.replace("a.json", `{"a":3}`)
	stop = f.run("a.json", ``, to)
	to.Await(t, `{"a":1}`, `{"a":2}`, `{"a":3}`)
	stop()
	before := to.Fine()
	f.run("a.json", ``, to)
	freshettest.WaitFor(t, 10*time.Second, "the source looked", func() bool { return to.Fine() > before })
	to.Await(t, `{"a":1}`, `{"a":2}`, `{"a":3}`)
}

func TestDocumentHalfWritten(t *testing.T) {
	f := newFolder(t)
	to := &freshettest.Sink{}
	f.write("a.json", `{"a":`)
	f.run("a.json", `,"settle":"PT0.3S"`, to)
	f.add("a.json", `1}`)
	to.Await(t, `{"a":1}`)
	if faults := to.Faults(); len(faults) > 0 {
		t.Errorf("told before the file was complete: %v", faults)
	}
	began := time.Now()
	f.write("a.json", `{"a":`)
	awaitFault(t, to, freshet.FaultFormat, "no complete json")
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("told after %v", took)
	}
	f.write("a.json", `{"a":"`+strings.Repeat("x", 4000)+`"}`)
	awaitFault(t, to, freshet.FaultSize, "limits.payload")
	f.write("a.json", `{"a":2}`)
	to.Await(t, `{"a":1}`, `{"a":2}`)
}

func TestDocumentOfRows(t *testing.T) {
	f := newFolder(t)
	to := &freshettest.Sink{}
	f.write("a.csv", "a;b\n1;2\n")
	began := time.Now()
	f.run("a.csv", `,"format":"csv","formatOptions":{"delimiter":";"},"settle":"PT0.5S"`, to)
	f.add("a.csv", "3;4\n")
	to.Await(t, `[{"a":"1","b":"2"},{"a":"3","b":"4"}]`)
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("taken as complete after %v", took)
	}
}

func TestFolder(t *testing.T) {
	f := newFolder(t)
	to := &freshettest.Sink{}
	options := `,"pattern":"*.json","settle":"PT0.2S"`
	for _, name := range []string{"c", "a", "b"} {
		f.write(name+".json", `"`+name+`"`)
	}
	f.write(".hidden.json", `0`)
	f.write("other.txt", `0`)
	stop := f.run("", options, to)
	to.Await(t, `"a"`, `"b"`, `"c"`)
	f.write("d.json", `{`) // blocks nothing for long
	f.replace("e.json", `"e"`)
	to.Await(t, `"a"`, `"b"`, `"c"`, `"e"`)
	awaitFault(t, to, freshet.FaultFormat, "no complete json")
	f.replace("d.json", `"d"`)
	f.replace("a.json", `"again"`) // of a name that was read
	to.Await(t, `"a"`, `"b"`, `"c"`, `"e"`, `"d"`)
	stop()
	f.replace("f.json", `"f"`)
	f.replace("bb.json", `"late"`)
	f.run("", options, to)
	to.Await(t, `"a"`, `"b"`, `"c"`, `"e"`, `"d"`, `"late"`, `"f"`)
}

func TestFolderOfMany(t *testing.T) {
	f := newFolder(t)
	to := &freshettest.Sink{}
	var want []string
	for i := range 500 {
		f.write(fmt.Sprintf("%04d", i), fmt.Sprint(i))
		want = append(want, fmt.Sprint(i))
	}
	stop := f.run("", `,"settle":"PT0S"`, to)
	to.Await(t, want...)
	stop()
	if mark, _ := to.Mark(t.Context()); len(mark) > 4096 {
		t.Errorf("a mark of %d bytes", len(mark))
	}
	f.write("0500", `500`)
	f.write("0400a", `"late"`)
	f.run("", `,"settle":"PT0S"`, to)
	to.Await(t, append(want, `"late"`, `500`)...)
}

func TestFolderByTime(t *testing.T) {
	f := newFolder(t)
	to := &freshettest.Sink{}
	at := func(name string, minutes int) {
		when := time.Now().Add(time.Duration(minutes-60) * time.Minute)
		if err := os.Chtimes(f.path(name), when, when); err != nil {
			t.Fatal(err)
		}
	}
	f.write("a", `"a"`)
	at("a", 2)
	f.write("b", `"b"`)
	at("b", 1)
	stop := f.run("", `,"order":"modified","settle":"PT0.1S"`, to)
	to.Await(t, `"b"`, `"a"`)
	f.write("b", `"b2"`)
	to.Await(t, `"b"`, `"a"`, `"b2"`)
	stop()
	f.run("", `,"order":"modified","settle":"PT0.1S","readFrom":"latest"`, to) // which counts no more
	f.write("c", `"c"`)
	at("c", 0) // came late
	to.Await(t, `"b"`, `"a"`, `"b2"`, `"c"`)
}

func TestLatest(t *testing.T) {
	for _, mode := range []string{"document", "lines"} {
		t.Run(mode, func(t *testing.T) {
			f := newFolder(t)
			to := &freshettest.Sink{}
			f.write("a", "1\n")
			f.write("b", "2\n")
			f.run("", `,"readFrom":"latest","settle":"PT0S","mode":"`+mode+`"`, to)
			freshettest.WaitFor(t, 10*time.Second, "the source looked", func() bool { return to.Fine() > 0 })
			want := []string{"3", "4"}
			if mode == "lines" {
				f.add("b", "3\n")
			} else {
				f.replace("c", "3")
			}
			f.replace("d", "4\n")
			freshettest.WaitFor(t, 10*time.Second, "all are there", func() bool { return len(to.Payloads()) == 2 })
			for i, p := range to.Payloads() {
				if strings.TrimSpace(p) != want[i] {
					t.Errorf("payloads: %q", to.Payloads())
				}
			}
		})
	}
}

func TestLatestOfOneFile(t *testing.T) {
	f := newFolder(t)
	to := &freshettest.Sink{}
	f.write("a", strings.Repeat(`{"old":"line"}`+"\n", 500)+`{"cut":`)
	f.run("a", `,"readFrom":"latest","mode":"lines"`, to)
	freshettest.WaitFor(t, 10*time.Second, "the source looked", func() bool { return to.Fine() > 0 })
	f.add("a", "1}\n2\n")
	to.Await(t, "2")
	if faults := to.Faults(); len(faults) > 0 {
		t.Errorf("faults: %v", faults)
	}
}

func TestLines(t *testing.T) {
	f := newFolder(t)
	to := &freshettest.Sink{}
	f.write("log", "{\"n\":1}\r\n\n{\"n\":2}\n{\"n\":")
	stop := f.run("log", `,"mode":"lines","settle":"PT0.3S"`, to)
	to.Await(t, `{"n":1}`, `{"n":2}`)
	f.add("log", "3}\nnonsense\n{\"n\":4}\n\""+strings.Repeat("x", 5000)+"\"\n{\"n\":5}\n")
	to.Await(t, `{"n":1}`, `{"n":2}`, `{"n":3}`, `{"n":4}`, `{"n":5}`)
	awaitFault(t, to, freshet.FaultFormat, "")
	awaitFault(t, to, freshet.FaultSize, "limits.payload")
	stop()
	f.add("log", `{"n":6}`) // without a line break, but nothing follows
	f.run("log", `,"mode":"lines","settle":"PT0.3S"`, to)
	to.Await(t, `{"n":1}`, `{"n":2}`, `{"n":3}`, `{"n":4}`, `{"n":5}`, `{"n":6}`)
	f.add("log", "\n7\n")
	to.Await(t, `{"n":1}`, `{"n":2}`, `{"n":3}`, `{"n":4}`, `{"n":5}`, `{"n":6}`, "7")
}

func TestLinesIncomplete(t *testing.T) {
	f := newFolder(t)
	to := &freshettest.Sink{}
	f.write("log", "1\n{")
	f.run("log", `,"mode":"lines","settle":"PT0.1S"`, to)
	awaitFault(t, to, freshet.FaultFormat, "last line is not complete")
	before := to.Fine()
	f.add("log", "}\n")
	to.Await(t, "1", "{}")
	freshettest.WaitFor(t, 10*time.Second, "it is fine again", func() bool { return to.Fine() > before })
}

func TestLinesOfCSV(t *testing.T) {
	f := newFolder(t)
	to := &freshettest.Sink{}
	f.write("a.csv", "\xef\xbb\xbfa,b\n1,\"x\ny \"\"z\"\"\"\n")
	stop := f.run("a.csv", `,"mode":"lines","format":"csv"`, to)
	to.Await(t, `{"a":"1","b":"x\ny \"z\""}`)
	stop()
	f.add("a.csv", "one\n2,b\n")
	f.run("a.csv", `,"mode":"lines","format":"csv"`, to)
	to.Await(t, `{"a":"1","b":"x\ny \"z\""}`, `{"a":"2","b":"b"}`)
	awaitFault(t, to, freshet.FaultFormat, "2 columns")
	to = &freshettest.Sink{}
	f.write("b.csv", "1;2\n")
	f.run("b.csv", `,"mode":"lines","format":"csv","formatOptions":{"columns":["x","y"],"delimiter":";"}`, to)
	to.Await(t, `{"x":"1","y":"2"}`)
}

// TestRotation renames a log while the source is away, and while it reads; nothing is lost or repeated.
func TestRotation(t *testing.T) {
	f := newFolder(t)
	to := &freshettest.Sink{}
	options := `,"mode":"lines","settle":"PT0.2S"`
	f.add("log", "1\n")
	stop := f.run("log", options, to)
	to.Await(t, "1")
	f.rename("log", "log.1")
	f.add("log", "3\n")
	f.add("log.1", "2\n") // by one who has not noticed
	to.Await(t, "1", "2", "3")
	stop()
	f.add("log", "4\n")
	f.rename("log.1", "log.2")
	f.rename("log", "log.1")
	f.add("log", "5\n")
	f.run("log", options, to)
	to.Await(t, "1", "2", "3", "4", "5")
}

func TestTruncation(t *testing.T) {
	f := newFolder(t)
	to := &freshettest.Sink{}
	options := `,"mode":"lines"`
	f.write("log", "1\n22\n333\n")
	stop := f.run("log", options, to)
	to.Await(t, "1", "22", "333")
	f.write("log", "4\n")
	to.Await(t, "1", "22", "333", "4")
	stop()
	f.write("log", "55555\n666\n") // longer than before, and not the same
	f.run("log", options, to)
	to.Await(t, "1", "22", "333", "4", "55555", "666")
	over, err := os.OpenFile(f.path("log"), os.O_WRONLY, 0) // never shorter
	if err != nil {
		t.Fatal(err)
	}
	defer over.Close()
	if _, err := over.WriteString("7\n8\n9\n10\n11\n12\n"); err != nil {
		t.Fatal(err)
	}
	to.Await(t, "1", "22", "333", "4", "55555", "666", "7", "8", "9", "10", "11", "12")
}

// TestSameTail is a file in place of another, with the same bytes before the offset.
func TestSameTail(t *testing.T) {
	f := newFolder(t)
	to := &freshettest.Sink{}
	same := strings.Repeat("1\n", 1000)
	f.write("log", "2\n"+same)
	stop := f.run("log", `,"mode":"lines"`, to)
	freshettest.WaitFor(t, 10*time.Second, "all are read", func() bool { return len(to.Payloads()) == 1001 })
	stop()
	f.write("log", "3\n"+same)
	f.run("log", `,"mode":"lines"`, to)
	freshettest.WaitFor(t, 10*time.Second, "all are read", func() bool { return len(to.Payloads()) == 2002 })
}

func TestFolderOfLines(t *testing.T) {
	f := newFolder(t)
	to := &freshettest.Sink{}
	f.write("1.log", "1\n2\n")
	f.write("2.log", "3\n")
	stop := f.run("", `,"mode":"lines","pattern":"*.log"`, to)
	to.Await(t, "1", "2", "3")
	f.add("2.log", "4\n")
	to.Await(t, "1", "2", "3", "4")
	f.add("2.log", "5\n")
	f.add("3.log", "6\n")
	to.Await(t, "1", "2", "3", "4", "5", "6")
	stop()
	f.add("3.log", "7\n")
	f.add("4.log", "8\n")
	f.run("", `,"mode":"lines","pattern":"*.log"`, to)
	to.Await(t, "1", "2", "3", "4", "5", "6", "7", "8")
}

// TestWriter appends without pause while the source restarts.
func TestWriter(t *testing.T) {
	f := newFolder(t)
	to := &freshettest.Sink{}
	var want []string
	f.write("log", "")
	stop := f.run("log", `,"mode":"lines"`, to)
	for i := range 3000 {
		line := fmt.Sprintf(`{"n":%d}`, i)
		want = append(want, line)
		f.add("log", line[:4])
		f.add("log", line[4:]+"\n")
		if i%700 == 699 {
			stop()
			stop = f.run("log", `,"mode":"lines"`, to)
		}
	}
	to.Await(t, want...)
	if faults := to.Faults(); len(faults) > 0 {
		t.Errorf("faults: %v", faults)
	}
}

// TestPoll finds a change that the system does not tell of, in a folder beyond a link.
func TestPoll(t *testing.T) {
	f := newFolder(t)
	to := &freshettest.Sink{}
	if err := os.MkdirAll(f.path("there"), 0o700); err != nil {
		t.Fatal(err)
	}
	f.write("there/a", "1\n")
	if err := os.Symlink("there/a", f.path("link")); err != nil {
		freshettest.Skip(t, "no symbolic links: %v", err)
	}
	f.run("link", `,"settle":"PT0S","pollingPeriod":"PT0.5S"`, to)
	to.Await(t, "1\n")
	f.write("there/a", "2\n")
	to.Await(t, "1\n", "2\n")
}

func TestOutside(t *testing.T) {
	f, out := newFolder(t), newFolder(t)
	out.write("secret", `"secret"`)
	if err := os.Symlink(out.path("secret"), f.path("link")); err != nil {
		freshettest.Skip(t, "no symbolic links: %v", err)
	}
	if err := os.Symlink(out.dir, f.path("folder")); err != nil {
		freshettest.Skip(t, "no symbolic links: %v", err)
	}
	for _, path := range []string{"link", "folder", "folder/secret", ""} {
		t.Run(path, func(t *testing.T) {
			to := &freshettest.Sink{}
			f := folder{t, f.dir}
			f.run(path, ``, to)
			freshettest.WaitFor(t, 10*time.Second, "it says something", func() bool { return len(to.Faults())+to.Fine() > 0 })
			if got := to.Payloads(); len(got) > 0 {
				t.Errorf("read what is outside: %q", got)
			}
		})
	}
}

func TestNoFolder(t *testing.T) {
	f := newFolder(t)
	f.write("a", "1")
	to := &freshettest.Sink{}
	freshettest.Run(t, file.Kind(), fmt.Sprintf(`{"path":%q}`, f.path("a")), freshettest.Env(t), to)
	awaitFault(t, to, freshet.FaultConfig, "files.allow")
	k := file.Kind()
	conf := json.RawMessage(fmt.Sprintf(`{"path":%q}`, f.path("a")))
	for _, tt := range []struct {
		folders []string
		ok      bool
	}{
		{nil, false},
		{[]string{f.path("b")}, false},
		{[]string{f.dir}, true},
		{[]string{f.path("b"), filepath.Dir(f.dir)}, true},
		{[]string{f.path("a")[:len(f.dir)-1]}, false},
	} {
		found := k.Within(conf, tt.folders)
		if tt.ok != (len(found) == 0) || !tt.ok && found[0].Pointer != "/path" {
			t.Errorf("%q: %v", tt.folders, found)
		}
	}
}

func TestMistakes(t *testing.T) {
	k := file.Kind()
	for config, pointer := range map[string]string{
		`{}`:                         "/path",
		`{"path":"a"}`:               "/path",
		`{"path":"/a","mode":"x"}`:   "/mode",
		`{"path":"/a","format":"x"}`: "/format",
		`{"path":"/a","mode":"lines","format":"xml"}`:      "/format",
		`{"path":"/a","readFrom":"x"}`:                     "/readFrom",
		`{"path":"/a","pollingPeriod":"PT0.1S"}`:           "/pollingPeriod",
		`{"path":"/a","settle":"PT6M"}`:                    "/settle",
		`{"path":"/a","pattern":"[a"}`:                     "/pattern",
		`{"path":"/a","order":"x"}`:                        "/order",
		`{"path":"/a","mode":"lines","order":"modified"}`:  "/order",
		`{"path":"/a","formatOptions":{"delimiter":";;"}}`: "/formatOptions/delimiter",
		`{"path":"/a","what":1}`:                           "/what",
	} {
		found := k.Check(json.RawMessage(config))
		if len(found) != 1 || found[0].Pointer != pointer {
			t.Errorf("%s: %v", config, found)
		}
		if _, err := k.New(json.RawMessage(config), source.Env{}); err == nil {
			t.Errorf("%s: a source was made", config)
		}
	}
	if got := k.Period(json.RawMessage(`{"path":"/a","pollingPeriod":"PT7S"}`)); got != 7*time.Second {
		t.Errorf("period: %v", got)
	}
}
