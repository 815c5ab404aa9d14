package formats

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"

	"golang.org/x/net/html/charset"
)

// deepest is how far elements may be nested: as far as JSON may that is taken.
const deepest = 256

var errDeep = errors.New("nested too deep")

// parseXML maps elements to objects. Entities that a document declares are not expanded, and nothing is
// loaded from outside.
func parseXML(data []byte, o Options) ([]byte, error) {
	dec := xml.NewDecoder(bytes.NewReader(data))
	dec.CharsetReader = charset.NewReaderLabel
	root, err := outermost(dec)
	if err != nil {
		return nil, syntax("xml", err)
	}
	value, err := element(dec, root, o, 1)
	if err != nil {
		return nil, syntax("xml", err)
	}
	if err := onlyMisc(dec); err != nil {
		return nil, syntax("xml", err)
	}
	out, err := json.Marshal(map[string]any{root.Name.Local: value})
	if err != nil {
		return nil, syntax("xml", err)
	}
	return out, nil
}

func outermost(dec *xml.Decoder) (xml.StartElement, error) {
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return xml.StartElement{}, errors.New("there is no element")
		}
		if err != nil {
			return xml.StartElement{}, err
		}
		if start, ok := token.(xml.StartElement); ok {
			return start, nil
		}
	}
}

// onlyMisc reads what may follow the outermost element.
func onlyMisc(dec *xml.Decoder) error {
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, ok := token.(xml.StartElement); ok {
			return errors.New("there is a second outermost element")
		}
	}
}

// element is the value of one whose start has been read.
func element(dec *xml.Decoder, start xml.StartElement, o Options, depth int) (any, error) {
	if depth > deepest {
		return nil, errDeep
	}
	members := map[string]any{}
	for _, a := range start.Attr {
		if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" {
			members["@"+a.Name.Local] = a.Value
		}
	}
	var text strings.Builder
	for {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			value, err := element(dec, t, o, depth+1)
			if err != nil {
				return nil, err
			}
			put(members, t.Name.Local, value, o)
		case xml.CharData:
			text.Write(t)
		case xml.EndElement:
			return finished(members, strings.TrimSpace(text.String())), nil
		}
	}
}

// put adds the value of an element to those beside it.
func put(members map[string]any, name string, value any, o Options) {
	switch before, there := members[name]; {
	case there:
		if list, ok := before.([]any); ok {
			members[name] = append(list, value)
		} else {
			members[name] = []any{before, value}
		}
	case slices.Contains(o.Arrays, name):
		members[name] = []any{value}
	default:
		members[name] = value
	}
}

func finished(members map[string]any, text string) any {
	switch {
	case len(members) == 0:
		return text
	case text != "":
		members["#text"] = text
	}
	return members
}
