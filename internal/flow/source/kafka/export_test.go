package kafka

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/internal/flow/source"
)

// ClientOf is a client as a source of a configuration makes it, for a look at its options.
func ClientOf(conf string, env source.Env) (*kgo.Client, error) {
	s, err := newReader(json.RawMessage(conf), env)
	if err != nil {
		return nil, err
	}
	r := s.(*reader)
	connect, err := r.cluster.Options()
	if err != nil {
		return nil, err
	}
	return kgo.NewClient((&session{reader: r}).options(context.Background(), connect)...)
}

// Marks moves positions, of which a mark told, to each partition in turn, and returns the new mark and how
// many positions are in it.
func Marks(mark, topic string, moves ...int32) (string, int) {
	p := readMark(mark, topic)
	for i, partition := range moves {
		p.move(partition, int64(i)+1<<40)
	}
	mark = p.mark()
	return mark, len(readMark(mark, topic).at)
}

// MarkHas says whether a mark has a position for each of some partitions.
func MarkHas(mark, topic string, partitions ...int32) bool {
	p := readMark(mark, topic)
	return !slices.ContainsFunc(partitions, func(partition int32) bool { _, ok := p.at[partition]; return !ok })
}
