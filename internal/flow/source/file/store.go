package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/fsnotify/fsnotify"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/files"
)

// store is a file, or a folder of files, in a folder that nothing leads out of.
type store struct {
	root    *os.Root
	inside  string // what to read, in root
	full    string // where that is
	log     *slog.Logger
	watch   *fsnotify.Watcher // nil: the system does not tell of changes
	watched string
	changed chan struct{}
	done    chan struct{} // closed once nothing is told of any more
}

func open(ctx context.Context, path string, folders []string, log *slog.Logger) (*store, error) {
	folder, inside, ok := find(path, folders)
	if !ok {
		return nil, source.Faultf(freshet.FaultConfig, "path: %s", refused(path))
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fault(err)
	}
	s := &store{root: root, inside: inside, full: filepath.Join(folder, inside), log: log, changed: make(chan struct{}, 1), done: make(chan struct{})}
	if s.watch, err = fsnotify.NewWatcher(); err != nil {
		if log != nil {
			log.WarnContext(ctx, "changes of files are not told of, but found by looking", "err", err)
		}
		close(s.done)
		return s, nil
	}
	go s.listen()
	return s, nil
}

// listen passes on that something happened.
func (s *store) listen() {
	defer close(s.done)
	for {
		select {
		case e, ok := <-s.watch.Events:
			if !ok {
				return
			}
			if e.Op == fsnotify.Chmod {
				continue
			}
		case _, ok := <-s.watch.Errors: // such as events that were lost
			if !ok {
				return
			}
		}
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
}

// follow watches a folder: another than before where a link leads elsewhere, or where it was made anew.
func (s *store) follow(folder string) {
	if s.watch == nil {
		return
	}
	if len(s.watch.WatchList()) > 0 && s.watched == folder {
		return
	}
	if s.watched != "" && s.watched != folder {
		_ = s.watch.Remove(s.watched)
	}
	if s.watch.Add(folder) == nil { // or else there is none, and looking finds it
		s.watched = folder
	}
}

// Changed tells of changes.
func (s *store) Changed() <-chan struct{} { return s.changed }

// Close ends the watch.
func (s *store) Close() {
	if s.watch != nil {
		_ = s.watch.Close()
	}
	<-s.done
	_ = s.root.Close()
}

// Folder says whether it is a folder.
func (s *store) Folder(context.Context) (bool, error) {
	info, err := s.root.Stat(s.inside)
	if err == nil && info.IsDir() {
		s.follow(s.full)
		return true, nil
	}
	s.follow(filepath.Dir(s.full))
	if err != nil {
		return false, fault(err)
	}
	return false, nil
}

// List are the files that are in the folder itself.
func (s *store) List(_ context.Context, after string) ([]files.File, error) {
	dir, err := s.root.Open(s.inside)
	if err != nil {
		return nil, fault(err)
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fault(err)
	}
	var found []files.File
	for _, name := range names {
		if name <= after {
			continue
		}
		info, err := s.root.Stat(filepath.Join(s.inside, name))
		if err == nil && info.Mode().IsRegular() { // what a link leads out to is left alone
			found = append(found, describe(name, info))
		}
	}
	return found, nil
}

func describe(name string, info fs.FileInfo) files.File {
	id := identity(info)
	return files.File{
		Name: name, Size: info.Size(), Modified: info.ModTime(), ID: id,
		Version: id + "/" + strconv.FormatInt(info.Size(), 36) + "/" + strconv.FormatInt(info.ModTime().UnixNano(), 36),
	}
}

// Open opens a file.
func (s *store) Open(_ context.Context, name string, from int64, have string) (*files.Opened, error) {
	// What is no file, such as a pipe, would keep whoever opens it waiting.
	f, err := s.root.OpenFile(filepath.Join(s.inside, name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fault(err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = source.Faultf(freshet.FaultConfig, "path is no file, and no folder")
	case have != "" && describe(name, info).Version == have:
		err = files.ErrSame
	default:
		_, err = f.Seek(from, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, fault(err)
	}
	return &files.Opened{File: describe(name, info), ReadCloser: f}, nil
}

// Find looks for a file in the folder where it was.
func (s *store) Find(_ context.Context, id string) string {
	folder := filepath.Dir(s.inside)
	dir, err := s.root.Open(folder)
	if err != nil {
		return ""
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return ""
	}
	for _, name := range names {
		info, err := s.root.Lstat(filepath.Join(folder, name))
		if err == nil && info.Mode().IsRegular() && identity(info) == id {
			if rel, err := filepath.Rel(s.inside, filepath.Join(folder, name)); err == nil {
				return rel
			}
		}
	}
	return ""
}

// fault is what subscribers are told. The path is the topic's own, and not in it.
func fault(err error) error {
	switch {
	case errors.Is(err, files.ErrSame):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w (%w)", source.Faultf(freshet.FaultHTTP+404, "there is no such file"), err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (%w)", source.Faultf(freshet.FaultHTTP+403, "the file may not be read"), err)
	}
	if _, ok := errors.AsType[freshet.Fault](err); ok {
		return err
	}
	return fmt.Errorf("%w (%w)", source.Faultf(freshet.FaultConnection, "the file cannot be read"), err)
}
