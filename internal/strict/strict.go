// Package strict reads JSON that users wrote and reports every mistake in it at once, each by its JSON Pointer.
package strict
