package mqtt

import "sync"

// A receipt is due to the server for a message of quality 1 or 2; of quality 0 only its place counts.
type receipt struct {
	id   uint16
	qos  byte
	item bool // something is handed over for it
}

// receipts are sent in the order in which the messages came, each once the journal has what was handed over
// for it.
type receipts struct {
	send func(receipt) error
	mu   sync.Mutex
	due  []receipt
}

func (q *receipts) add(r receipt) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.due = append(q.due, r)
}

// settle sends what is due now that so many more items are stored.
func (q *receipts) settle(items int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.due) > 0 {
		r := q.due[0]
		if r.item {
			if items == 0 {
				return nil
			}
			items--
		}
		q.due = q.due[1:]
		if r.qos == 0 {
			continue
		}
		if err := q.send(r); err != nil {
			return err
		}
	}
	return nil
}
