package delivery

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A LogConfig says how much of the exchanges is kept; whichever bound is met first counts.
type LogConfig struct {
	Dir      string
	MaxBytes int64         // in all
	MaxAge   time.Duration // of the newest exchange of a file
}

const (
	segments   = 8                      // files that the log is divided into, the unit in which it forgets
	written    = 200 * time.Millisecond // after which an exchange is in its file: a crash loses no more of the log
	gathered   = 256 << 10              // bytes that are written before
	longestRow = 1 << 20
	suffix     = ".ndjson"
)

// A Log is the exchanges of all subscriptions, in files of NDJSON that take turns. It is for people: what it
// lacks after a crash is missed nowhere else. It is safe for concurrent use.
type Log struct {
	LogConfig

	mu      sync.Mutex
	file    *os.File
	size    int64
	pending []byte
	rows    rows
	flush   *time.Timer
	last    int64 // the number of the last exchange
	failed  error // why nothing can be written; told once
	closed  bool
}

// OpenLog opens the log in a folder, which it makes.
func OpenLog(c LogConfig) (*Log, error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the log of exchanges: %w", err)
	}
	return &Log{LogConfig: c}, nil
}

// Add takes an exchange up and gives it its id. It returns an error once when the log cannot be written.
func (l *Log) Add(e *Exchange) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.last = max(l.last+1, time.Now().UnixMicro())
	e.ID = strconv.FormatInt(l.last, 36)
	if l.pending = append(l.rows.append(l.pending, e), '\n'); len(l.pending) > gathered {
		l.writeLocked()
	}
	if l.flush == nil && len(l.pending) > 0 {
		l.flush = time.AfterFunc(written, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.writeLocked()
		})
	}
	told := l.failed
	l.failed = nil
	return told
}

// writeLocked writes what is pending, and begins a new file where one is full.
func (l *Log) writeLocked() {
	if l.flush != nil {
		l.flush.Stop()
		l.flush = nil
	}
	if len(l.pending) == 0 {
		return
	}
	if l.file == nil || l.size >= l.MaxBytes/segments {
		l.rotateLocked()
	}
	if l.file != nil {
		n, err := l.file.Write(l.pending)
		l.size += int64(n)
		if err != nil {
			l.failed = fmt.Errorf("write the log of exchanges: %w", err)
		}
	}
	if l.pending = l.pending[:0]; cap(l.pending) > longestRow {
		l.pending = nil // a row was longer than they are usually
	}
}

func (l *Log) rotateLocked() {
	if l.file != nil {
		_ = l.file.Close()
	}
	name := filepath.Join(l.Dir, fmt.Sprintf("%016d%s", time.Now().UnixMicro(), suffix))
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // in our own folder
	if err != nil {
		l.file, l.failed = nil, fmt.Errorf("write the log of exchanges: %w", err)
		return
	}
	l.file, l.size = file, 0
	l.forgetLocked()
}

// forgetLocked removes the oldest files, beyond what is to be kept.
func (l *Log) forgetLocked() {
	names, err := l.files()
	if err != nil {
		return // there is nothing to remove then
	}
	var total int64
	for i, name := range slices.Backward(names) {
		info, err := os.Stat(name)
		if err != nil {
			continue
		}
		total += info.Size()
		tooOld := l.MaxAge > 0 && time.Since(info.ModTime()) > l.MaxAge
		if current := i == len(names)-1; !current && (total > l.MaxBytes-l.MaxBytes/segments || tooOld) {
			_ = os.Remove(name) // the next turn tries again
		}
	}
}

// files are the files of the log, the oldest first.
func (l *Log) files() ([]string, error) {
	entries, err := os.ReadDir(l.Dir)
	if err != nil {
		return nil, fmt.Errorf("read the log of exchanges: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			names = append(names, filepath.Join(l.Dir, e.Name()))
		}
	}
	slices.Sort(names) // their names are times
	return names, nil
}

// Find returns the exchanges that f chooses, the newest first.
func (l *Log) Find(f Filter) ([]Exchange, error) {
	l.mu.Lock()
	l.writeLocked()
	l.forgetLocked()
	names, err := l.files()
	l.mu.Unlock()
	if err != nil {
		return nil, err
	}
	var found []Exchange
	for _, name := range names {
		switch err := scan(name, f, l.MaxAge, &found); {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
		case err != nil:
			return nil, err
		}
	}
	slices.SortStableFunc(found, func(a, b Exchange) int { return cmp.Or(b.Start.Compare(a.Start), strings.Compare(b.ID, a.ID)) })
	return found, nil
}

func scan(name string, f Filter, maxAge time.Duration, found *[]Exchange) error {
	file, err := os.Open(name) //nolint:gosec // in our own folder
	if err != nil {
		return fmt.Errorf("read the log of exchanges: %w", err)
	}
	defer func() { _ = file.Close() }()
	rows := bufio.NewScanner(file)
	rows.Buffer(nil, longestRow)
	for rows.Scan() {
		if !bytes.Contains(rows.Bytes(), []byte(f.Subscription)) {
			continue
		}
		var e Exchange
		if json.Unmarshal(rows.Bytes(), &e) != nil { // a crash may have cut a row
			continue
		}
		if f.matches(&e) && (maxAge == 0 || time.Since(e.Start) < maxAge) {
			*found = append(*found, e)
		}
	}
	if err := rows.Err(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read the log of exchanges: %w", err)
	}
	return nil
}

// Close writes what is pending.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.writeLocked()
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}
