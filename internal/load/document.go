package load

import (
	"math/rand/v2"
	"strconv"
	"sync"

	"freshet/jsonpatch"
)

// A document is a list of records of which some are renewed at each version, as an API of prices
// or positions has them.
type document struct {
	records [][]byte
	renewed int // records per version
	rng     *rand.Rand
	number  int // of the last version
}

// recordBytes is the size of a record of documents that are large enough for several.
const recordBytes = 500

func newDocument(topic, size int, share float64) *document {
	n := max(size/recordBytes, min(10, size/100), 1)
	d := &document{
		records: make([][]byte, n),
		rng:     rand.New(rand.NewPCG(uint64(topic), 1)), //nolint:gosec // the same documents in each run
	}
	if share > 0 {
		d.renewed = max(int(share*float64(n)+0.5), 1)
	}
	each := max(size/n, 60)
	for i := range d.records {
		d.records[i] = make([]byte, 0, each)
		d.renew(i, each-1) // a comma follows
	}
	return d
}

func (d *document) renew(i, size int) {
	b := append(d.records[i][:0], `{"id":`...)
	b = strconv.AppendInt(b, int64(i), 10)
	b = append(b, `,"price":`...)
	b = strconv.AppendFloat(b, float64(d.rng.IntN(1_000_000))/100, 'f', 2, 64)
	b = append(b, `,"text":"`...)
	for len(b) < size-2 {
		b = append(b, 'a'+byte(d.rng.IntN(26)))
	}
	d.records[i] = append(b, '"', '}')
}

// next is the version that follows, a new slice. One in which nothing is renewed keeps its stamp.
func (d *document) next(at int64) (doc []byte, number int) {
	for _, i := range d.rng.Perm(len(d.records))[:d.renewed] {
		d.renew(i, len(d.records[i]))
	}
	d.number++
	doc = append(make([]byte, 0, len(d.records)*(len(d.records[0])+8)+64), `{"at":`...)
	doc = stamp{at, d.number}.append(doc)
	doc = append(doc, `,"items":[`...)
	for i, r := range d.records {
		if i > 0 {
			doc = append(doc, ',')
		}
		doc = append(doc, r...)
	}
	return append(doc, ']', '}'), d.number
}

// A ledger knows the documents that were last handed over of each topic, for comparison.
type ledger struct {
	mu     sync.Mutex
	topics []page // guarded by mu
}

type page struct {
	docs [kept][]byte // by number, modulo
	last int
}

const kept = 16

func newLedger(topics int) *ledger { return &ledger{topics: make([]page, topics)} }

func (l *ledger) put(topic, number int, doc []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &l.topics[topic]
	p.docs[number%kept] = doc
	p.last = max(p.last, number)
}

// last is the number of the newest document.
func (l *ledger) last(topic int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.topics[topic].last
}

// holds says whether a document is, in every value, the one of its number. What is too old to be known
// is not known.
func (l *ledger) holds(topic int, doc []byte) (right, known bool) {
	s, ok := findStamp(doc)
	if !ok {
		return false, true
	}
	l.mu.Lock()
	want := l.topics[topic].docs[s.number%kept]
	last := l.topics[topic].last
	l.mu.Unlock()
	if s.number > last || want == nil {
		return false, true // nobody handed that over
	}
	if s.number <= last-kept {
		return false, false
	}
	return jsonpatch.Equal(want, doc), true
}
