package main

import (
	"bytes"
	"encoding/json"

	"github.com/bytedance/sonic"
	"github.com/wI2L/jsondiff"
	gomodules "gomodules.xyz/jsonpatch/v2"

	"freshet/bench/corpus"
	"freshet/jsonpatch"
)

// An engine prepares what it may keep from poll to poll, and returns the work of one poll: from
// version k of the corpus to version k+1, as bytes given by the upstream, to the bytes of a patch.
type engine struct {
	name    string
	prepare func(corpus.Corpus) (poll, error)
	slow    bool // for large documents its patch is asked for once, to know its size
}

type poll func(k int) ([]byte, error)

// The names of the engines that others are held against.
const (
	ours      = "freshet"
	usual     = "wI2L UseNumber"
	bestSetUp = "wI2L stateful sonic UseNumber"
)

func engines() []engine {
	return []engine{
		{name: ours, prepare: guided},
		{name: "freshet, no guide", prepare: unguided},
		{name: "freshet, two texts", prepare: stateless},
		{name: usual, prepare: compareJSON()},
		{name: bestSetUp, prepare: stateful},
		{name: "gomodules/v2", prepare: createPatch},
		{name: "wI2L UseNumber LCS", prepare: compareJSON(jsondiff.LCS()), slow: true},
		{name: "wI2L UseNumber Rationalize", prepare: compareJSON(jsondiff.Rationalize()), slow: true},
		{name: "wI2L UseNumber LCS Rationalize", prepare: compareJSON(jsondiff.LCS(), jsondiff.Rationalize()), slow: true},
	}
}

func guided(c corpus.Corpus) (poll, error) {
	olds, d, err := parsed(c)
	var now jsonpatch.Document
	var patch []byte
	return func(k int) ([]byte, error) {
		if err := now.Parse(c.Versions[k+1], &olds[k], jsonpatch.Limits{}); err != nil {
			return nil, err
		}
		patch, _ = d.Append(patch[:0], &olds[k], &now)
		return patch, nil
	}, err
}

func unguided(c corpus.Corpus) (poll, error) {
	olds, d, err := parsed(c)
	var now jsonpatch.Document
	var patch []byte
	return func(k int) ([]byte, error) {
		if err := now.Parse(c.Versions[k+1], nil, jsonpatch.Limits{}); err != nil {
			return nil, err
		}
		patch, _ = d.Append(patch[:0], &olds[k], &now)
		return patch, nil
	}, err
}

func parsed(c corpus.Corpus) ([]jsonpatch.Document, *jsonpatch.Differ, error) {
	olds := make([]jsonpatch.Document, len(c.Versions))
	for i, v := range c.Versions {
		if err := olds[i].Parse(v, nil, jsonpatch.Limits{}); err != nil {
			return nil, nil, err
		}
	}
	d, err := jsonpatch.NewDiffer(jsonpatch.Options{})
	return olds, d, err
}

func stateless(c corpus.Corpus) (poll, error) {
	return func(k int) ([]byte, error) { return jsonpatch.Diff(c.Versions[k], c.Versions[k+1]) }, nil
}

func useNumber(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return dec.Decode(v)
}

// compareJSON is the usual way: both texts go in.
func compareJSON(opts ...jsondiff.Option) func(corpus.Corpus) (poll, error) {
	opts = append(opts, jsondiff.UnmarshalFunc(useNumber))
	return func(c corpus.Corpus) (poll, error) {
		return func(k int) ([]byte, error) {
			patch, err := jsondiff.CompareJSON(c.Versions[k], c.Versions[k+1], opts...)
			if err != nil {
				return nil, err
			}
			return json.Marshal(patch)
		}, nil
	}
}

// stateful is the best that can be assembled: the old document stays decoded, and the fastest codec
// that keeps numbers decodes the new one and writes the patch.
func stateful(c corpus.Corpus) (poll, error) {
	codec := sonic.Config{UseNumber: true}.Froze()
	olds := make([]any, len(c.Versions))
	for i, v := range c.Versions {
		if err := codec.Unmarshal(v, &olds[i]); err != nil {
			return nil, err
		}
	}
	return func(k int) ([]byte, error) {
		var now any
		if err := codec.Unmarshal(c.Versions[k+1], &now); err != nil {
			return nil, err
		}
		patch, err := jsondiff.CompareWithoutMarshal(olds[k], now)
		if err != nil {
			return nil, err
		}
		return codec.Marshal(patch)
	}, nil
}

func createPatch(c corpus.Corpus) (poll, error) {
	return func(k int) (patch []byte, err error) {
		ops, err := gomodules.CreatePatch(c.Versions[k], c.Versions[k+1])
		if err == nil {
			patch, err = json.Marshal(ops)
		}
		return patch, err
	}, nil
}
