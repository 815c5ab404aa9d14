package jsonpatch_test

import (
	"fmt"

	"freshet/jsonpatch"
)

func ExampleDiff() {
	from := []byte(`{"stations":[{"name":"Blindern","temp":21.50},{"name":"Tryvannshøgda","temp":19.0}]}`)
	to := []byte(`{"stations":[{"name":"Bygdøy","temp":18.2},{"temp":21.5,"name":"Blindern"},{"name":"Tryvannshøgda","temp":19.0}]}`)
	patch, err := jsonpatch.Diff(from, to)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", patch)
	// Output: [{"op":"add","path":"/stations/0","value":{"name":"Bygdøy","temp":18.2}},{"op":"replace","path":"/stations/1/temp","value":21.5}]
}

func ExampleApply() {
	doc := []byte(`{"eur": 1.080, "usd": 1}`)
	got, err := jsonpatch.Apply(doc, []byte(`[{"op":"replace","path":"/usd","value":0.99},{"op":"remove","path":"/gbp"}]`))
	fmt.Printf("%s %v\n", got, err)
	got, err = jsonpatch.Apply(doc, []byte(`[{"op":"replace","path":"/usd","value":0.99}]`))
	fmt.Printf("%s %v\n", got, err)
	// Output:
	//  patch operation 1 (remove "/gbp"): there is no such place in the document: no member "gbp"
	// {"eur":1.080,"usd":0.99} <nil>
}

// A poller keeps two documents and a Differ, and allocates nothing from poll to poll.
func ExampleDocument_Parse() {
	answers := []string{
		`{"lift":"open","queue":4,"note":"Take the other one if it rains"}`,
		`{"lift":"open","queue":4,"note":"Take the other one if it rains"}`,
		`{"queue":9,"lift":"open","note":"Take the other one if it rains"}`,
	}
	var differ jsonpatch.Differ
	var patch []byte
	old, now := new(jsonpatch.Document), new(jsonpatch.Document)
	for _, answer := range answers {
		if err := now.Parse([]byte(answer), old, jsonpatch.Limits{}); err != nil {
			fmt.Println("not taken over:", err)
			continue
		}
		patch, _ = differ.Append(patch[:0], old, now)
		fmt.Printf("%s\n", patch)
		if len(patch) > 0 {
			old, now = now, old
		}
	}
	// Output:
	// [{"op":"replace","path":"","value":{"lift":"open","queue":4,"note":"Take the other one if it rains"}}]
	//
	// [{"op":"replace","path":"/queue","value":9}]
}

func ExampleOptions() {
	differ, err := jsonpatch.NewDiffer(jsonpatch.Options{
		ArrayKeys: map[string]string{"/sensors": "serial"},
		Ignore:    []string{"/generatedAt"},
		Tolerance: 0.05,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	parse := func(s string) *jsonpatch.Document {
		d, err := jsonpatch.Parse([]byte(s), jsonpatch.Limits{})
		if err != nil {
			fmt.Println(err)
		}
		return d
	}
	old := parse(`{"generatedAt":1,"sensors":[{"serial":"k1","temp":21.50},{"serial":"k2","temp":19.0}]}`)
	patch, _ := differ.Append(nil, old, parse(`{"generatedAt":2,"sensors":[{"serial":"k1","temp":21.52},{"serial":"k2","temp":19.0}]}`))
	fmt.Printf("%q\n", patch)
	patch, _ = differ.Append(nil, old, parse(`{"generatedAt":3,"sensors":[{"serial":"k1","temp":21.52},{"serial":"k2","temp":25.0}]}`))
	fmt.Printf("%s\n", patch)
	// Output:
	// ""
	// [{"op":"replace","path":"","value":{"generatedAt":3,"sensors":[{"serial":"k1","temp":21.52},{"serial":"k2","temp":25.0}]}}]
}

func ExampleDiffer_Items() {
	parse := func(s string) *jsonpatch.Document {
		d, err := jsonpatch.Parse([]byte(s), jsonpatch.Limits{})
		if err != nil {
			fmt.Println(err)
		}
		return d
	}
	old := parse(`{"items":[{"sku":"a","qty":4},{"sku":"b","qty":1}]}`)
	now := parse(`{"items":[{"sku":"c","qty":7},{"sku":"a","qty":3}]}`)
	var differ jsonpatch.Differ
	changes, err := differ.Items(old, now, "/items", "sku")
	if err != nil {
		fmt.Println(err)
	}
	for _, c := range changes {
		fmt.Printf("%s %s %s\n", c.Kind, c.Key, c.Value)
	}
	fmt.Printf("%s\n", jsonpatch.AppendItems(nil, changes))
	// Output:
	// created "c" {"sku":"c","qty":7}
	// updated "a" {"sku":"a","qty":3}
	// deleted "b" {"sku":"b","qty":1}
	// {"created":[{"key":"c","value":{"sku":"c","qty":7}}],"updated":[{"key":"a","new":{"qty":3},"old":{"qty":4}}],"deleted":[{"key":"b","value":{"sku":"b","qty":1}}]}
}

func ExampleCompose() {
	doc := []byte(`{"lift":"open","queue":4,"note":"Take the other one if it rains"}`)
	patch, err := jsonpatch.Compose(doc,
		[]byte(`[{"op":"replace","path":"/queue","value":7}]`),
		[]byte(`[{"op":"replace","path":"/queue","value":9}]`))
	fmt.Printf("%s %v\n", patch, err)
	// Output: [{"op":"replace","path":"/queue","value":9}] <nil>
}

// Items are told by what identifies them, everything else as a patch.
func ExampleDiffer_AppendChanges() {
	from, _ := jsonpatch.Parse([]byte(`{"stock":[{"id":7,"qty":2},{"id":9,"qty":1}]}`), jsonpatch.Limits{})
	to, _ := jsonpatch.Parse([]byte(`{"stock":[{"id":9,"qty":5}]}`), jsonpatch.Limits{})
	var d jsonpatch.Differ
	changes, ok := d.AppendChanges(nil, from, to)
	fmt.Println(string(changes), ok)
	doc, err := jsonpatch.ApplyChanges(from.Bytes(), changes)
	fmt.Println(string(doc), err)
	// Output:
	// {"created":[],"updated":[{"array":"/stock","key":9,"value":{"id":9,"qty":5},"previous":{"id":9,"qty":1}}],"deleted":[{"array":"/stock","key":7,"previous":{"id":7,"qty":2}}],"keys":{"/stock":"id"}} true
	// {"stock":[{"id":9,"qty":5}]} <nil>
}
