package demo

import "fmt"

type article struct {
	SKU       string              `json:"sku"`
	EAN       uint64              `json:"ean"`
	Name      string              `json:"name"`
	Unit      string              `json:"unit"`
	Locations map[string]location `json:"locations"`
	Total     int64               `json:"total"`
	Status    string              `json:"status"` // in stock, low or sold out
	Movement  movement            `json:"lastMovement"`
}

type location struct {
	OnHand    int64  `json:"onHand"`
	Reserved  int64  `json:"reserved"`
	Available int64  `json:"available"`
	Bin       string `json:"bin"`
}

type movement struct {
	Type      string `json:"type"` // pick or receipt
	Warehouse string `json:"warehouse"`
	Quantity  int64  `json:"quantity"`
	At        string `json:"at"`
}

func stockLevels(w world, now int64) any {
	places := []string{"HAM-1", "RTM-2", "LYS-1", "GDN-3"}
	things := []string{"bearing", "gasket", "hose clamp", "filter", "relay", "cable drum", "pallet", "seal ring", "valve", "pump", "fuse", "bracket"}
	all := make([]article, 60)
	for i := range all {
		a := article{
			SKU:       fmt.Sprintf("SKU-%05d", 10_000+i*7),
			EAN:       4_000_000_000_000 + w.hash("ean", i, 0)%999_999_999_999,
			Name:      fmt.Sprintf("%s %d mm", things[i%len(things)], 8+2*(i/len(things))),
			Unit:      "piece",
			Locations: map[string]location{},
		}
		latest := int64(-1)
		for j, place := range places {
			slot := i*len(places) + j
			every := int64(80) // three of the 240 slots a second
			if slot == 0 {
				every = 1 // always something to see
			}
			at, count := w.updated(slot, now, every)
			onHand, before := w.onHand(slot, count), w.onHand(slot, count-1)
			reserved := min(onHand, int64(w.pick("reserved", slot, at, 12)))
			a.Locations[place] = location{onHand, reserved, onHand - reserved, fmt.Sprintf("%c%02d", 'A'+j, 1+w.pick("bin", slot, 0, 40))}
			a.Total += onHand
			if at > latest {
				latest = at
				a.Movement = movement{"pick", place, before - onHand, stamp(at)}
				if onHand > before {
					a.Movement = movement{"receipt", place, onHand - before, stamp(at)}
				}
			}
		}
		switch {
		case a.Total == 0:
			a.Status = "sold out"
		case a.Total < 120:
			a.Status = "low"
		default:
			a.Status = "in stock"
		}
		all[i] = a
	}
	return map[string]any{"owner": "Demo Logistics", "warehouses": places, "fillRate": decimal(1, 1), "items": all}
}

// onHand falls by what is picked, movement by movement, until a delivery fills the shelf up again.
func (w world) onHand(slot int, count int64) int64 {
	const cycle = 24 // movements from one delivery to the next
	pick := int64(1 + w.pick("pick", slot, 0, 5))
	sold := count % cycle
	if sold < 0 {
		sold += cycle
	}
	left := (cycle - sold) * pick
	if sold > 0 && sold < cycle-1 {
		left -= int64(w.pick("uneven", slot, count, int(pick)))
	}
	return left
}
