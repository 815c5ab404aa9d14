package flow

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freshet"
)

// maxLabels bounds how many topics have series of their own; the others share "_other", so that a
// flood of topics cannot flood the metrics.
const maxLabels = 1000

// meters are the metrics of the data's path.
type meters struct {
	polls   *prometheus.CounterVec
	took    prometheus.Histogram
	events  *prometheus.CounterVec
	bytes   *prometheus.CounterVec
	saved   prometheus.Counter
	diff    prometheus.Histogram
	latency prometheus.Histogram
	slow    prometheus.Counter
	hooks   *prometheus.CounterVec
	missed  *prometheus.CounterVec
	lag     prometheus.Histogram

	mu     sync.Mutex
	labels map[freshet.TopicName]bool
}

func newMeters(reg prometheus.Registerer, f *Flow) *meters {
	m := &meters{
		polls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "freshet_polls_total",
			Help: "Reports of sources, by result: changed, unchanged, not_modified or error.",
		}, []string{"topic", "result"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "freshet_poll_duration_seconds",
			Help: "How long requests to upstreams took.", Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "freshet_events_total",
			Help: "Events appended to the journal, by type.",
		}, []string{"topic", "type"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "freshet_bytes_total",
			Help: "Bytes of events sent to subscribers (out) and appended to the journal (in).",
		}, []string{"direction", "topic"}),
		saved: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "freshet_bytes_saved_total",
			Help: "Bytes that full documents at each change would have taken beyond what was sent.",
		}),
		diff: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "freshet_diff_duration_seconds",
			Help: "How long finding what changed took.", Buckets: []float64{.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .1},
		}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "freshet_event_latency_seconds",
			Help: "From the upstream's answer to the write to a subscriber's socket.", Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		slow: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "freshet_slow_consumer_disconnects_total",
			Help: "Subscribers cut because they were too slow.",
		}),
		hooks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "freshet_hooks_total",
			Help: "Webhooks by which upstreams told of news, by result: accepted or refused.",
		}, []string{"topic", "result"}),
		missed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "freshet_hook_missed_total",
			Help: "Changes that a poll by the timer found, and that the upstream should have told by a webhook.",
		}, []string{"topic"}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "freshet_subscriber_lag_events",
			Help: "How many events subscribers lacked when they were written to.", Buckets: []float64{1, 2, 4, 8, 16, 64, 256, 1024},
		}),
		labels: map[freshet.TopicName]bool{},
	}
	reg.MustRegister(m.polls, m.took, m.events, m.bytes, m.saved, m.diff, m.latency, m.slow, m.hooks, m.missed, m.lag, collector{f, m})
	return m
}

// label is the topic's own label, as long as there is room.
func (m *meters) label(name freshet.TopicName) string {
	if IsAdHoc(name) {
		return "_adhoc"
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.labels[name] {
		if len(m.labels) >= maxLabels {
			return "_other"
		}
		m.labels[name] = true
	}
	return string(name)
}

// forget drops the series of a topic that is gone.
func (m *meters) forget(name freshet.TopicName) {
	m.mu.Lock()
	delete(m.labels, name)
	m.mu.Unlock()
	for _, v := range []*prometheus.CounterVec{m.polls, m.events, m.bytes, m.hooks, m.missed} {
		v.DeletePartialMatch(prometheus.Labels{"topic": string(name)})
	}
}

func (m *meters) polled(name freshet.TopicName, result string, took time.Duration) {
	if took == 0 {
		return // nobody was asked: it was pushed
	}
	m.polls.WithLabelValues(m.label(name), result).Inc()
	m.took.Observe(took.Seconds())
}

func (m *meters) published(name freshet.TopicName, ev freshet.Event) {
	label := m.label(name)
	m.events.WithLabelValues(label, string(ev.Type)).Inc()
	m.bytes.WithLabelValues("in", label).Add(float64(len(ev.Data)))
}

// A collector reads the gauges off the topics when somebody asks.
type collector struct {
	flow *Flow
	m    *meters
}

var (
	topicsDesc      = prometheus.NewDesc("freshet_topics", "Topics, by state: idle, running or failing.", []string{"state"}, nil)
	subscribersDesc = prometheus.NewDesc("freshet_subscribers", "Subscribers connected now.", []string{"topic", "protocol"}, nil)
	staleDesc       = prometheus.NewDesc("freshet_source_stale", "Whether what a topic has cannot be relied on to be current: 1, else 0.", []string{"topic"}, nil)
	stalenessDesc   = prometheus.NewDesc("freshet_source_staleness_seconds", "Since a running source last obtained or confirmed its document.", []string{"topic"}, nil)
)

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- topicsDesc
	ch <- subscribersDesc
	ch <- stalenessDesc
	ch <- staleDesc
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	states := map[string]int{"idle": 0, "running": 0, "failing": 0}
	subscribers, stale, isStale := map[string]int{}, map[string]float64{}, map[string]float64{}
	for _, t := range c.flow.all() {
		s := t.status(false)
		states[s.State]++
		label := c.m.label(t.name)
		subscribers[label] += s.Subscribers
		if s.State != "idle" && !s.LastSuccess.IsZero() && t.polls() {
			stale[label] = max(stale[label], time.Since(s.LastSuccess).Seconds())
		}
		if s.State != "idle" {
			isStale[label] = max(isStale[label], number(s.Stale))
		}
	}
	for state, n := range states {
		ch <- prometheus.MustNewConstMetric(topicsDesc, prometheus.GaugeValue, float64(n), state)
	}
	for label, n := range subscribers {
		ch <- prometheus.MustNewConstMetric(subscribersDesc, prometheus.GaugeValue, float64(n), label, "sse")
	}
	for label, s := range isStale {
		ch <- prometheus.MustNewConstMetric(staleDesc, prometheus.GaugeValue, s, label)
	}
	for label, s := range stale {
		ch <- prometheus.MustNewConstMetric(stalenessDesc, prometheus.GaugeValue, s, label)
	}
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
