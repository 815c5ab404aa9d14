package demo

import (
	"encoding/json"
	"fmt"
	"math"
)

type sensor struct {
	ID       string      `json:"id"`
	Type     string      `json:"type"`
	Unit     string      `json:"unit"`
	Value    json.Number `json:"value"`
	Quality  string      `json:"quality"` // good or uncertain
	Position position    `json:"position"`
	Limits   limits      `json:"limits"`
	Alarm    *alarm      `json:"alarm"`
	Measured string      `json:"measuredAt"`
}

type position struct {
	Hall int         `json:"hall"`
	X    json.Number `json:"x"`
	Y    json.Number `json:"y"`
}

type limits struct {
	Low  json.Number `json:"low"`
	High json.Number `json:"high"`
}

type alarm struct {
	Level string `json:"level"`
	Text  string `json:"text"`
}

func sensors(w world, now int64) any {
	kinds := []struct {
		name, prefix, unit string
		middle, swing      float64
		places             int
	}{
		{"temperature", "tmp", "°C", 64, 12, 1},
		{"pressure", "prs", "bar", 6, 1.5, 2},
		{"vibration", "vib", "mm/s", 2.8, 1.6, 2},
		{"flow", "flw", "l/min", 140, 35, 1},
		{"speed", "spd", "1/min", 1480, 30, 0},
		{"power", "pwr", "kW", 18, 6, 2},
	}
	all := make([]sensor, 60)
	alarms := map[string]int{}
	for i := range all {
		k := kinds[i%len(kinds)]
		every := int64(15)
		if i == 0 {
			every = 1 // always something to see
		}
		at, _ := w.updated(i, now, every)
		middle := k.middle * w.between("middle", i, 0.9, 1.1)
		value := middle + k.swing*(0.8*w.wave("drift", i, at, 1800)+0.2*w.wave("noise", i, at, 20))
		s := sensor{
			ID:       fmt.Sprintf("%s-%04d", k.prefix, i+1),
			Type:     k.name,
			Unit:     k.unit,
			Value:    decimal(value, k.places),
			Quality:  "good",
			Position: position{1 + i/20, decimal(w.between("x", i, 0, 90), 1), decimal(w.between("y", i, 0, 40), 1)},
			Limits:   limits{decimal(middle-0.5*k.swing, k.places), decimal(middle+0.5*k.swing, k.places)},
			Measured: stamp(at),
		}
		if w.pick("quality", i, at/300, 12) == 0 {
			s.Quality = "uncertain"
		}
		switch off := math.Abs(value-middle) / k.swing; {
		case off > 0.6:
			s.Alarm = &alarm{"critical", k.name + " far outside its limits"}
		case off > 0.5:
			s.Alarm = &alarm{"warning", k.name + " outside its limits"}
		}
		if s.Alarm != nil {
			alarms[s.Alarm.Level]++
		}
		all[i] = s
	}
	good := len(all) - alarms["critical"] - alarms["warning"]
	return map[string]any{
		"plant": "Demo Works", "line": "B/2", "firmware": decimal(4, 1),
		"summary": map[string]any{"alarms": alarms, "good/all": decimal(float64(good)/float64(len(all)), 3)},
		"sensors": all,
	}
}
