//go:build unix

package file

import (
	"io/fs"
	"strconv"
	"syscall"
)

// identity tells a file from another that takes its name.
func identity(info fs.FileInfo) string {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return strconv.FormatUint(uint64(st.Dev), 36) + "." + strconv.FormatUint(st.Ino, 36)
	}
	return ""
}
