package kafka_test

import (
	"testing"

	"freshet/internal/freshettest"
)

func TestRead(t *testing.T) {
	c, _ := fake(t, 1)
	c.write("1")
	to := &freshettest.Sink{}
	stop := c.run(``, to)
	c.write("2", "3")
	to.Await(t, "2", "3")
	stop()
	if got := c.committed("topicid"); got != 3 {
		t.Errorf("committed: %d", got)
	}
	c.write("4")
	c.run(``, to)
	to.Await(t, "2", "3", "4")
}
