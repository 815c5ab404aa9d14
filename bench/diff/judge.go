package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// leads says whether a patch leads from one text to the other, number text included. It is a plain
// applier on decoded values, apart from all engines.
func leads(from, patch, to []byte) error {
	var doc, want any
	var ops []struct {
		Op, Path, From string
		Value          any
	}
	if err := useNumber(from, &doc); err != nil {
		return err
	}
	if err := useNumber(to, &want); err != nil {
		return err
	}
	if len(patch) > 0 {
		dec := json.NewDecoder(bytes.NewReader(patch))
		dec.UseNumber()
		if err := dec.Decode(&ops); err != nil {
			return err
		}
	}
	root := map[string]any{"": doc}
	for i, op := range ops {
		var err error
		value := op.Value
		if op.Op == "move" || op.Op == "copy" {
			remove := op.Op == "move"
			value, err = edit(root, op.From, func(c *container) (any, error) { return c.get(remove) })
		}
		if err == nil {
			_, err = edit(root, op.Path, func(c *container) (any, error) { return nil, c.do(op.Op, value) })
		}
		if err != nil {
			return fmt.Errorf("operation %d: %w", i, err)
		}
	}
	if !reflect.DeepEqual(root[""], want) {
		return fmt.Errorf("leads elsewhere")
	}
	return nil
}

// A container is where an operation takes place, and the token of the place.
type container struct {
	object map[string]any
	array  *[]any
	token  string
}

// edit finds the container of a path below the member "" of root.
func edit(root map[string]any, path string, f func(*container) (any, error)) (any, error) {
	tokens := strings.Split(path, "/")
	for i, t := range tokens {
		tokens[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(t)
	}
	var down func(v any, tokens []string) (any, any, error)
	down = func(v any, tokens []string) (any, any, error) {
		c := container{token: tokens[0]}
		switch v := v.(type) {
		case map[string]any:
			c.object = v
		case []any:
			c.array = &v
		default:
			return nil, nil, fmt.Errorf("no container at %q", tokens[0])
		}
		if len(tokens) == 1 {
			got, err := f(&c)
			if c.array != nil {
				return *c.array, got, err
			}
			return c.object, got, err
		}
		child, err := c.get(false)
		if err != nil {
			return nil, nil, err
		}
		child, got, err := down(child, tokens[1:])
		if err == nil {
			err = c.do("replace", child)
		}
		if c.array != nil {
			return *c.array, got, err
		}
		return c.object, got, err
	}
	_, got, err := down(root, tokens)
	return got, err
}

func (c *container) index() (int, error) {
	i, err := strconv.Atoi(c.token)
	if err != nil || i < 0 || i >= len(*c.array) {
		return 0, fmt.Errorf("no element %q", c.token)
	}
	return i, nil
}

func (c *container) get(remove bool) (any, error) {
	if c.array == nil {
		v, ok := c.object[c.token]
		if !ok {
			return nil, fmt.Errorf("no member %q", c.token)
		}
		if remove {
			delete(c.object, c.token)
		}
		return v, nil
	}
	i, err := c.index()
	if err != nil {
		return nil, err
	}
	v := (*c.array)[i]
	if remove {
		*c.array = append((*c.array)[:i], (*c.array)[i+1:]...)
	}
	return v, nil
}

func (c *container) do(op string, value any) error {
	if op == "remove" {
		_, err := c.get(true)
		return err
	}
	if op == "replace" {
		if _, err := c.get(false); err != nil {
			return err
		}
	}
	if c.array == nil {
		c.object[c.token] = value
		return nil
	}
	if op == "replace" {
		i, err := c.index()
		if err == nil {
			(*c.array)[i] = value
		}
		return err
	}
	i := len(*c.array)
	if c.token != "-" && c.token != strconv.Itoa(i) {
		var err error
		if i, err = c.index(); err != nil {
			return err
		}
	}
	*c.array = append(*c.array, nil)
	copy((*c.array)[i+1:], (*c.array)[i:])
	(*c.array)[i] = value
	return nil
}
