// Package file reads files of the machine that Freshet runs on.
package file

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/files"
	"freshet/internal/settings"
)

type config struct {
	Path string `json:"path" required:"true" address:"true" doc:"The file, or the folder with the files, from the root of the file system on. It must be in a folder that files.allow of the server's configuration names"`
	files.Options
	files.Folder
}

// Check is what the tags cannot say.
func (c *config) Check(v *settings.Verdict) {
	c.Options.Check(v)
	c.Folder.Check(v, c.Mode)
	if c.Path != "" && !filepath.IsAbs(c.Path) {
		v.Say("/path", "%.120q does not begin at the root of the file system", c.Path)
	}
}

// Kind is the type file.
func Kind() source.Kind {
	return source.Kind{
		Name:    "file",
		Summary: "Reads a file of the machine that Freshet runs on, or the files of a folder, as they change.",
		Notes: "**Which files.** Those in a folder that `files.allow` of the server's configuration names, and by default none. Links are followed as long as they stay in it. " +
			"The system tells of changes at once; `pollingPeriod` is for file systems that do not, such as those of a network. A log that is rotated by renaming it is read to its end, as long as it stays in its folder, before the new one is begun; of one that is copied and cut, what was written between the last look and the cut is lost.\n\n" + files.Notes,
		Feeds:  []freshet.Kind{freshet.KindSnapshot, freshet.KindEvent},
		Config: config{},
		Check:  source.Check[config],
		Within: within,
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
				Options: c.Options, Folder: c.Folder, Where: c.Path, Env: env,
				Connect: func(ctx context.Context) (files.Store, error) { return open(ctx, c.Path, env.Folders, env.Log) },
			}, nil
		},
	}
}

// within returns what is wrong with a configuration where files may be read from some folders only.
func within(conf json.RawMessage, folders []string) freshet.Invalid {
	var c config
	if settings.Read(conf, &c) != nil {
		return nil // which Check finds
	}
	if _, _, ok := find(c.Path, folders); !ok {
		return freshet.Invalid{{Pointer: "/path", Detail: refused(c.Path)}}
	}
	return nil
}

func refused(path string) string {
	return fmt.Sprintf("%.120q is in none of the folders that files.allow of the server's configuration names", path)
}

// find is the folder that a path is in, and the path in it.
func find(path string, folders []string) (folder, inside string, ok bool) {
	for _, folder := range folders {
		if inside, err := filepath.Rel(folder, path); err == nil && filepath.IsLocal(inside) {
			return folder, inside, true
		}
	}
	return "", "", false
}
