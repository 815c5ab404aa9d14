package delivery

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// meters count what operators watch.
type meters struct {
	attempts *prometheus.CounterVec
	events   *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	halted   *prometheus.CounterVec
}

func newMeters(r prometheus.Registerer, subscriptions prometheus.Collector) *meters {
	m := &meters{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "freshet_delivery_attempts_total", Help: "Attempts to deliver, by the type of subscription and how they ended."}, []string{"type", "outcome"}),
		events:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "freshet_delivered_events_total", Help: "Events that receivers accepted, by the type of subscription."}, []string{"type"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "freshet_delivery_seconds", Help: "How long attempts to deliver take, by the type of subscription.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"type"}),
		halted: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "freshet_subscriptions_halted_total", Help: "Subscriptions that deliveries suspended or disabled."}, []string{"type", "status"}),
	}
	if r != nil {
		r.MustRegister(m.attempts, m.events, m.seconds, m.halted, subscriptions)
	}
	return m
}

func (m *meters) attempt(kind string, err error, took time.Duration, events int) {
	outcome := OutcomeDelivered
	if err != nil {
		outcome = OutcomeFailed
	} else {
		m.events.WithLabelValues(kind).Add(float64(events))
	}
	m.attempts.WithLabelValues(kind, outcome).Inc()
	m.seconds.WithLabelValues(kind).Observe(took.Seconds())
}

var circuitsDesc = prometheus.NewDesc("freshet_delivery_circuits_open", "Endpoints that fail, to which new deliveries wait.", nil, nil) //nolint:gochecknoglobals // a constant

var subscriptionsDesc = prometheus.NewDesc("freshet_subscriptions", "Stored subscriptions, by their type and status.", []string{"type", "status"}, nil) //nolint:gochecknoglobals // a constant

// Describe is part of prometheus.Collector.
func (d *Deliveries) Describe(ch chan<- *prometheus.Desc) {
	ch <- subscriptionsDesc
	ch <- circuitsDesc
}

// Collect is part of prometheus.Collector.
func (d *Deliveries) Collect(ch chan<- prometheus.Metric) {
	d.mu.Lock()
	counts := map[[2]string]int{}
	for _, s := range d.all {
		counts[[2]string{s.sub.Type, string(s.sub.Status)}]++
	}
	d.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(circuitsDesc, prometheus.GaugeValue, float64(d.circuits.open()))
	for by, n := range counts {
		ch <- prometheus.MustNewConstMetric(subscriptionsDesc, prometheus.GaugeValue, float64(n), by[0], by[1])
	}
}
