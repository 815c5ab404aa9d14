package kafka

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// maxMark is how long a mark may be, in bytes; the sink takes 4 KiB.
const maxMark = 4 << 10

// A position is where the source is in a partition.
type position struct {
	next  int64  // the offset of the record to read next
	moved uint64 // when it last changed, as a count
}

// positions is where the source is in its topic.
type positions struct {
	topic      string // which incarnation of which topic it is, in which cluster
	partitions int32  // how many the topic had when this was noted; those beyond came later
	at         map[int32]position
	moves      uint64
}

// marked is how positions are spelled in a mark.
type marked struct {
	Topic      string          `json:"t"`
	Partitions int32           `json:"n"`
	Next       map[int32]int64 `json:"o"`
}

// readMark is what a mark says; nothing where it is none, or of another topic than the one that is there.
func readMark(mark, topic string) positions {
	p := positions{topic: topic, at: map[int32]position{}}
	var m marked
	if json.Unmarshal([]byte(mark), &m) != nil || m.Topic != topic {
		return p
	}
	p.partitions = max(m.Partitions, 0)
	for partition, next := range m.Next {
		if partition >= 0 && next >= 0 {
			p.at[partition] = position{next: next}
		}
	}
	return p
}

// move notes that the record before next was handled.
func (p *positions) move(partition int32, next int64) {
	p.moves++
	p.at[partition] = position{next, p.moves}
}

// mark spells the positions. Where there is no room for all, those that moved last are in it: the others
// were committed long ago.
func (p *positions) mark() string {
	order := slices.Sorted(maps.Keys(p.at))
	b := p.spell(order)
	if len(b) > maxMark {
		slices.SortFunc(order, func(a, b int32) int {
			return cmp.Or(cmp.Compare(p.at[b].moved, p.at[a].moved), cmp.Compare(a, b))
		})
		for len(b) > maxMark && len(order) > 0 { // each time so many that it is soon enough
			order = order[:min(len(order)-1, len(order)*maxMark/len(b))]
			b = p.spell(slices.Sorted(slices.Values(order)))
		}
	}
	return string(b)
}

func (p *positions) spell(order []int32) []byte {
	topic, _ := json.Marshal(p.topic) // every text can be written
	b := make([]byte, 0, 64+len(topic)+20*len(order))
	b = append(append(append(b, `{"t":`...), topic...), `,"n":`...)
	b = append(strconv.AppendInt(b, int64(p.partitions), 10), `,"o":{`...)
	for i, partition := range order {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendInt(append(b, '"'), int64(partition), 10), `":`...)
		b = strconv.AppendInt(b, p.at[partition].next, 10)
	}
	return append(b, `}}`...)
}
