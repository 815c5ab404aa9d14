package strict

import (
	"bytes"
	"encoding/json"
)

// MergePatch is that of RFC 7396 section 2, on raw JSON: what it does not touch keeps its
// spelling. Both are valid JSON.
func MergePatch(target, patch json.RawMessage) json.RawMessage {
	var changes map[string]json.RawMessage
	if json.Unmarshal(patch, &changes) != nil || changes == nil {
		return patch // not an object
	}
	members := map[string]json.RawMessage{}
	if json.Unmarshal(target, &members) != nil || members == nil {
		members = map[string]json.RawMessage{}
	}
	for name, value := range changes {
		if string(value) == "null" {
			delete(members, name)
		} else {
			members[name] = MergePatch(members[name], value)
		}
	}
	merged, err := Marshal(members)
	if err != nil {
		return patch // cannot be: every member was read from valid JSON
	}
	return merged
}

// Marshal writes compact JSON in which URLs keep their ampersands.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
