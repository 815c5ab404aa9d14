package main

import (
	"os"
	"path/filepath"
	"time"
)

// temporaryPrefix is what the directories of freshet dev begin with.
const temporaryPrefix = "freshet-dev-"

// newborn is the age below which a directory is let be: its process may not hold its lock yet.
const newborn = time.Minute

// sweep removes what processes left that were killed. A directory is theirs if the lock in it is free;
// what cannot be looked into is somebody else's.
func sweep() {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), temporaryPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		info, err := os.Lstat(filepath.Join(dir, "LOCK"))
		if err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > newborn && abandoned(filepath.Join(dir, "LOCK")) {
			_ = os.RemoveAll(dir) // the system's temporary directory is cleared some day anyway
		}
	}
}
