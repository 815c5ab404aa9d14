// Package files reads files, wherever they are: each new version of one is a document, or its new lines are
// events. The types of source that have files hand it a Store.
package files

import (
	"context"
	"errors"
	"io"
	"path"
	"time"

	"freshet"
	"freshet/internal/flow/source/formats"
	"freshet/internal/settings"
)

const (
	document = "document"
	lines    = "lines"
	earliest = "earliest"
	latest   = "latest"
	byTime   = "modified"
	asJSON   = "json"
	asCSV    = "csv"
)

// Options are those that each type of source with files has.
type Options struct {
	Mode          string           `json:"mode" default:"document" oneof:"document,lines" doc:"What a payload is. document: each new version of the file, or each file of a folder, as a whole. lines: each line, or record of CSV, that the file gains"`
	Format        string           `json:"format" default:"json" oneof:"json,ndjson,csv,xml,feed" doc:"What the files are. Of lines they are json or ndjson, which is then the same, or csv"`
	FormatOptions formats.Options  `json:"formatOptions" doc:"What the format leaves open"`
	ReadFrom      string           `json:"readFrom" default:"earliest" oneof:"earliest,latest" doc:"Where reading begins the first time: with all that is there, or, for latest, with the lines and the files of a folder that come after"`
	PollingPeriod freshet.Duration `json:"pollingPeriod" default:"PT5S" range:"PT0.5S..PT1H" doc:"How long after one look for changes the next is, where nothing tells of them before"`
	Settle        freshet.Duration `json:"settle" default:"PT2S" range:"PT0S..PT5M" doc:"How long a file that may be half-written must stay as it is: then CSV and NDJSON are complete, and so is a last line without a line break, while a document that is not of its format is a fault. JSON and XML are taken as soon as they are complete"`
}

// Check is what the tags cannot say.
func (o *Options) Check(v *settings.Verdict) {
	if o.Mode == lines && (o.Format == "xml" || o.Format == "feed") {
		v.Say("/format", "must be json, ndjson or csv for mode lines: %s has no lines", o.Format)
	}
	o.FormatOptions.CheckFor(v, "/formatOptions", o.Format)
}

// CheckOne judges options of what is known to be one file.
func (o *Options) CheckOne(v *settings.Verdict) {
	if o.Mode == document && o.ReadFrom == latest {
		v.Say("/readFrom", "is of no use for one file that is a document: there is no other one before it")
	}
}

// A Folder says which files of a folder are read, and in which order.
type Folder struct {
	Pattern string `json:"pattern" range:"0..200" doc:"Of a folder only the files whose name matches are read: * stands for any text, ? for any character, [a-z] for one of those"`
	Order   string `json:"order" default:"name" oneof:"name,modified" doc:"In which order the files of a folder are read. name: each name once, in alphabetical order, as of names with a date in them. modified: by the time of their last change, and again when they change"`
}

// Check is what the tags cannot say. The mode is that of the Options beside it.
func (f *Folder) Check(v *settings.Verdict, mode string) {
	if _, err := path.Match(f.Pattern, ""); err != nil {
		v.Say("/pattern", "%.80q is not a pattern: a bracket is not closed, or nothing follows a backslash", f.Pattern)
	}
	if mode == lines && f.Order == byTime {
		v.Say("/order", "must be name for mode lines")
	}
}

// CheckOne refuses what has no effect without a folder, which the member other would say.
func (f *Folder) CheckOne(v *settings.Verdict, other string) {
	if f.Pattern != "" {
		v.Say("/pattern", "is of no use without %s", other)
	}
	if f.Order != "name" {
		v.Say("/order", "is of no use without %s", other)
	}
}

// Notes tells what is the same for all types of source with files, in Markdown.
const Notes = "**Documents.** Each new version of the file is the next payload; one with the same content is none. What is not complete yet is left for later, as `settle` says. " +
	"Of a folder each file is a payload. Those in folders below are not read, nor those whose name begins with a dot, which is how to keep back a file that is being written; to write it elsewhere and move it there is as good. " +
	"A file that is at fault is told of, the next are read, and it is read again when it has changed.\n\n" +
	"**Lines.** Each line that the file gains is a payload; empty lines are none. Of CSV without `columns` the first line of each file holds the names, and each record is an object. A line that is no JSON, too large, or has not the columns of the CSV is told as a fault, and the next is read. " +
	"Of a folder the files are read to their end one after the other; one is left when a later one is there, and what it gains after that is not read.\n\n" +
	"**Where it reads on.** How far the source is, is stored with the payload, in the same write: a restart loses nothing and repeats nothing. Of lines that is the file's identity, the offset, and digests of its first bytes and of those before the offset. " +
	"A file that has become shorter, or in which these bytes are others, is a new one and is read from its beginning: what it had gained since the last look, and then lost, is lost. " +
	"Of a folder it is which files were read: of those names that are there the last 200 in their order, and all that sort before them. So a file that comes late is read as long as no more than 200 after it were. " +
	"`readFrom` counts until the first payload is stored.\n\n"

// A File is what is known of one.
type File struct {
	Name     string    // in its folder; "" of the one that a store has
	Size     int64     // bytes; -1 unknown
	Modified time.Time // the zero Time: unknown
	ID       string    // tells the file from another that took its name; "" unknown
	Version  string    // another whenever the content is another; "" unknown
}

// An Opened is a file and what it holds from the offset on that was asked for.
type Opened struct {
	File
	io.ReadCloser
}

// ErrSame says that a file is still of the version that is there already.
var ErrSame = errors.New("the file has not changed")

// A Store is where files are: one, or a folder of them. Its methods are called one at a time. An error that is
// a freshet.Fault is about the file and leaves the store in use; any other ends it.
type Store interface {
	// Folder says whether there are many files, or one.
	Folder(ctx context.Context) (bool, error)
	// List are the files of a folder, in any order. Those whose names do not sort after a name may be left out.
	List(ctx context.Context, after string) ([]File, error)
	// Open opens a file at an offset, which may be beyond its end: then it holds nothing. The error is ErrSame
	// where the file is of the version have.
	Open(ctx context.Context, name string, from int64, have string) (*Opened, error)
	Close()
}

// A Watcher is a Store that tells when something may have changed.
type Watcher interface{ Changed() <-chan struct{} }

// A Paced is a Store that may have to wait for its turn.
type Paced interface {
	// NotBefore is when the store may be asked at the earliest.
	NotBefore() time.Time
}

// A Finder is a Store that may find a file again which was renamed.
type Finder interface {
	// Find is the name by which Open opens the file of that ID; "" where it is not found.
	Find(ctx context.Context, id string) (name string)
}

// A LaterError is a fault of a store that wants to be left alone for a while.
type LaterError struct {
	Fault freshet.Fault
	Until time.Time
}

func (e *LaterError) Error() string { return e.Fault.Error() }

// Unwrap is the fault.
func (e *LaterError) Unwrap() error { return e.Fault }
