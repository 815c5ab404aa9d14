package files

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// near is how many bytes before an offset, and at the beginning of a file, tell whether it is the same file.
const near = 1 << 10

// remembered is how many files of a folder a mark has room for.
const remembered = 200

// A mark is where a source is. It is stored with each payload.
type mark struct {
	Where   string `json:"w"`           // digest of where the files are, and of how they are read
	Version string `json:"v,omitempty"` // of the document that was handed over last
	Content string `json:"c,omitempty"` // its digest
	Name    string `json:"n,omitempty"` // of the file whose lines are read, in a folder
	ID      string `json:"i,omitempty"` // of that file
	Offset  int64  `json:"o,omitempty"` // behind the last line
	Head    string `json:"h,omitempty"` // digest of the file's first bytes …
	First   int    `json:"l,omitempty"` // … and how many those are, at most near and none behind Offset
	Tail    string `json:"t,omitempty"` // digest of the bytes before Offset, at most near
	Floor   string `json:"f,omitempty"` // key of a file of the folder: all up to it are done
	Done    string `json:"d,omitempty"` // digests of those behind it that are done
}

func (m mark) String() string {
	b, _ := json.Marshal(m) // texts and numbers can be written
	return string(b)
}

// readMark is what a mark says; nothing where it is of other files.
func readMark(text, where string) mark {
	var m mark
	if json.Unmarshal([]byte(text), &m) != nil || m.Where != where || m.Offset < 0 {
		return mark{Where: where}
	}
	return m
}

func digest(data []byte) string { return spell(xxhash.Sum64(data)) }

func spell(sums ...uint64) string {
	var b []byte
	for _, sum := range sums {
		b = binary.BigEndian.AppendUint64(b, sum)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// A ledger knows which files of a folder are done.
type ledger struct {
	floor string // all keys up to it are done
	done  []uint64
	keys  map[uint64]string // of those in done that are there
}

func newLedger(floor, done string) *ledger {
	l := &ledger{floor: floor, keys: map[uint64]string{}}
	b, _ := base64.RawURLEncoding.DecodeString(done)
	for ; len(b) >= 8; b = b[8:] {
		l.done = append(l.done, binary.BigEndian.Uint64(b))
	}
	return l
}

// key sorts a file among those of its folder.
func (f *Folder) key(file File) string {
	if f.Order == byTime {
		return file.Modified.UTC().Format("2006-01-02T15:04:05.000000000 ") + file.Name
	}
	return file.Name
}

// sum tells files apart that were read from those that were not.
func (f *Folder) sum(file File) uint64 {
	if f.Order == byTime {
		return xxhash.Sum64String(f.key(file) + "\x00" + file.Version)
	}
	return xxhash.Sum64String(file.Name)
}

// left are those of the files that are to be read, in their order. What is no longer there is forgotten.
func (l *ledger) left(of *Folder, there []File) (todo []File) {
	l.keys = map[uint64]string{}
	for _, file := range there {
		sum, key := of.sum(file), of.key(file)
		if slices.Contains(l.done, sum) {
			l.keys[sum] = key
		} else if key > l.floor {
			todo = append(todo, file)
		}
	}
	l.done = slices.DeleteFunc(l.done, func(sum uint64) bool { _, ok := l.keys[sum]; return !ok })
	slices.SortFunc(todo, func(a, b File) int { return strings.Compare(of.key(a), of.key(b)) })
	return todo
}

// add notes that a file is done.
func (l *ledger) add(of *Folder, file File) {
	sum := of.sum(file)
	if slices.Contains(l.done, sum) {
		return
	}
	l.done = append(l.done, sum)
	l.keys[sum] = of.key(file)
	if len(l.done) > remembered {
		least := slices.MinFunc(l.done, func(a, b uint64) int { return strings.Compare(l.keys[a], l.keys[b]) })
		l.floor = max(l.floor, l.keys[least])
		l.done = slices.DeleteFunc(l.done, func(sum uint64) bool { return sum == least })
		delete(l.keys, least)
	}
}

// into is a mark with the ledger as it is now.
func (l *ledger) into(m mark) mark {
	m.Floor, m.Done = l.floor, spell(l.done...)
	return m
}
