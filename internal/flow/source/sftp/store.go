package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/files"
)

// store is a file, or a folder of files, of a server.
type store struct {
	*config
	ssh    *ssh.Client
	client *sftp.Client
	stop   func() bool // of what closes the connection when the source ends
}

// Close ends the connection.
func (s *store) Close() {
	s.stop()
	_ = s.ssh.Close() // so that nothing is waited for
	_ = s.client.Close()
}

// within asks the server, which must answer in time or is given up.
func (s *store) within(ask func() error) error {
	late := make(chan struct{})
	watch := time.AfterFunc(time.Duration(s.Timeout), func() {
		close(late)
		_ = s.ssh.Close()
	})
	err := ask()
	watch.Stop()
	select {
	case <-late:
		return fmt.Errorf("sftp: the server does not answer: %w", os.ErrDeadlineExceeded)
	default:
		return fault(err)
	}
}

// fault is what subscribers are told of what the server says of a file. Of a connection it is the error.
func fault(err error) error {
	status, answered := errors.AsType[*sftp.StatusError](err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w (%w)", source.Faultf(freshet.FaultHTTP+404, "there is no such file"), err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (%w)", source.Faultf(freshet.FaultHTTP+403, "the file may not be read"), err)
	case answered && status.FxCode() != sftp.ErrSSHFxConnectionLost && status.FxCode() != sftp.ErrSSHFxNoConnection:
		return fmt.Errorf("%w (%w)", source.Faultf(freshet.FaultPublication, "the server does not give the file"), err)
	}
	return err
}

// Folder says whether it is a folder.
func (s *store) Folder(context.Context) (is bool, err error) {
	err = s.within(func() error {
		info, err := s.client.Stat(s.Path)
		is = err == nil && info.IsDir()
		return err //nolint:wrapcheck // within does
	})
	return is, err
}

// List are the files that are in the folder itself.
func (s *store) List(ctx context.Context, after string) (found []files.File, err error) {
	var all []fs.FileInfo
	err = s.within(func() error {
		all, err = s.client.ReadDirContext(ctx, s.Path)
		return err //nolint:wrapcheck // within does
	})
	if err != nil {
		return nil, err
	}
	for _, info := range all {
		if info.Name() <= after {
			continue
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			name := info.Name()
			err := s.within(func() error {
				info, err = s.client.Stat(path.Join(s.Path, name))
				return err //nolint:wrapcheck // within does
			})
			if _, gone := errors.AsType[freshet.Fault](err); gone {
				continue
			}
			if err != nil {
				return nil, err
			}
			if info.Mode().IsRegular() {
				found = append(found, describe(name, info))
			}
		} else if info.Mode().IsRegular() {
			found = append(found, describe(info.Name(), info))
		}
	}
	return found, nil
}

func describe(name string, info fs.FileInfo) files.File {
	return files.File{
		Name: name, Size: info.Size(), Modified: info.ModTime(),
		Version: strconv.FormatInt(info.Size(), 36) + "/" + strconv.FormatInt(info.ModTime().Unix(), 36),
	}
}

// Open opens a file.
func (s *store) Open(_ context.Context, name string, from int64, have string) (o *files.Opened, err error) {
	at := path.Join(s.Path, name)
	err = s.within(func() error {
		info, err := s.client.Stat(at)
		switch {
		case err != nil:
			return err //nolint:wrapcheck // within does
		case !info.Mode().IsRegular(): // such as a pipe, which would keep whoever opens it waiting
			return source.Faultf(freshet.FaultConfig, "path is no file, and no folder")
		case have != "" && describe(name, info).Version == have:
			return files.ErrSame
		}
		f, err := s.client.Open(at)
		if err != nil {
			return err //nolint:wrapcheck // within does
		}
		if info, err = f.Stat(); err == nil {
			_, err = f.Seek(from, 0)
		}
		if err != nil {
			_ = f.Close()
			return err //nolint:wrapcheck // within does
		}
		o = &files.Opened{File: describe(name, info), ReadCloser: &file{f, s}}
		return nil
	})
	return o, err
}

// A file must come in time.
type file struct {
	from  *sftp.File
	store *store
}

func (f *file) Read(p []byte) (n int, err error) {
	err = f.store.within(func() error {
		n, err = f.from.Read(p)
		return err //nolint:wrapcheck // within does
	})
	return n, err
}

func (f *file) Close() error { return f.store.within(f.from.Close) }
