package demo

import (
	"encoding/json"
	"fmt"
	"math"
)

type patient struct {
	Bed         string      `json:"bed"`
	ID          uint64      `json:"patientId"` // larger than a double can hold
	HeartRate   int         `json:"heartRate"` // 1/min
	SpO2        json.Number `json:"spo2"`      // %
	Pressure    pressure    `json:"bloodPressure"`
	Respiration int         `json:"respiratoryRate"` // 1/min
	Temperature json.Number `json:"temperature"`     // °C
	Alarms      []string    `json:"alarms"`
	Measured    string      `json:"measuredAt"`
}

type pressure struct { // mmHg
	Systolic  int `json:"systolic"`
	Diastolic int `json:"diastolic"`
	Mean      int `json:"mean"`
}

func vitals(w world, now int64) any {
	all := make([]patient, 24)
	for i := range all {
		every := int64(6)
		if i == 0 {
			every = 1 // always something to see
		}
		at, _ := w.updated(i, now, every)
		round := func(v float64) int { return int(math.Round(v)) }
		rest := w.between("rest", i, 62, 84)
		effort := w.wave("effort", i, at, 900)
		p := patient{
			Bed:         fmt.Sprintf("3-%02d", i+1),
			ID:          11_000_000_000_000_000_000 + w.hash("id", i, 0)%1_000_000_000_000_000_000,
			HeartRate:   round(rest + 34*effort + 6*w.wave("beat", i, at, 12)),
			SpO2:        decimal(math.Min(100, 96.5+3*w.wave("spo2", i, at, 600)+w.wave("finger", i, at, 15)), 1),
			Respiration: round(15 + 5*effort + 2*w.wave("breath", i, at, 20)),
			Temperature: decimal(37+0.9*w.wave("temperature", i, at-at%60, 7200), 1), // taken once a minute
			Alarms:      []string{},
			Measured:    stamp(at),
		}
		cuff := at - at%120 // inflated every two minutes
		systolic, diastolic := 121+16*w.wave("systolic", i, cuff, 1800), 76+9*w.wave("diastolic", i, cuff, 1800)
		p.Pressure = pressure{round(systolic), round(diastolic), round((systolic + 2*diastolic) / 3)}
		if p.HeartRate > 100 {
			p.Alarms = append(p.Alarms, "tachycardia")
		}
		if p.HeartRate < 50 {
			p.Alarms = append(p.Alarms, "bradycardia")
		}
		if v, _ := p.SpO2.Float64(); v < 94.5 {
			p.Alarms = append(p.Alarms, "desaturation")
		}
		all[i] = p
	}
	return map[string]any{"hospital": "Demo Clinic", "ward": "ICU 3", "protocol": decimal(1, 1), "patients": all}
}
