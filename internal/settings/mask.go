package settings

import (
	"encoding/json"
	"reflect"
	"slices"
)

// Mask is a configuration of the type of which of is a value as it is shown: with Masked in the place of
// each secret.
func Mask(config json.RawMessage, of any) json.RawMessage {
	t := reflect.TypeOf(of)
	return rewrite(config, func(m member) []byte {
		c := classOf(t, m.path)
		if m.secret(c) {
			return spell(Masked)
		}
		if s, ok := m.text(); ok && c == aURL {
			if masked := MaskURL(s); masked != s {
				return spell(masked)
			}
		}
		return m.raw
	})
}

// Unmask is a configuration as it is to be stored: with what stored has in the place of each Masked that
// stands for it. A secret was given for the addresses that the configuration named then, and for connections as
// protected as they were: it is not put back where one names another, or TLS is turned off, or whoever may change a
// topic could have it sent to himself. What stays masked
// is a mistake, for Read.
func Unmask(config, stored json.RawMessage, of any) json.RawMessage {
	t := reflect.TypeOf(of)
	had, went := map[string]member{}, map[string][]string{}
	rewrite(stored, func(m member) []byte {
		c := classOf(t, m.path)
		s, _ := m.text()
		if m.secret(c) || c == aURL {
			had[m.key(t)] = m.clone()
		}
		if c == aURL || c == anAddress {
			went[m.field(t)] = append(went[m.field(t)], s)
		}
		return m.raw
	})
	moved := false
	rewrite(config, func(m member) []byte {
		if c := classOf(t, m.path); c == aURL || c == anAddress {
			s, _ := m.text()
			moved = moved || !slices.ContainsFunc(went[m.field(t)], func(from string) bool {
				return s == from || c == aURL && (s == MaskURL(from) || mayMove(from, unmaskURL(s, from)))
			})
		}
		return m.raw
	})
	now := protections(config, t)
	for at, was := range protections(stored, t) {
		moved = moved || was && !now[at]
	}
	if moved {
		return config
	}
	return rewrite(config, func(m member) []byte {
		s, _ := m.text()
		before, ok := had[m.key(t)]
		if !ok {
			return m.raw
		}
		from, _ := before.text()
		switch isURL := classOf(t, m.path) == aURL; {
		case s == Masked && !isURL:
			return before.raw
		case isURL && s == MaskURL(from):
			return before.raw // with its own spelling
		case isURL:
			if whole := unmaskURL(s, from); whole != s {
				return spell(whole)
			}
		}
		return m.raw
	})
}

// clone is the member for longer than rewrite has it.
func (m member) clone() member { return member{slices.Clone(m.path), m.raw} }

// stillMasked finds what is masked and has nothing to stand for.
func stillMasked(config json.RawMessage, t reflect.Type) (pointers []string) {
	rewrite(config, func(m member) []byte {
		s, ok := m.text()
		c := classOf(t, m.path)
		masked := s == Masked && (c == aSecret || c == aHeader || m.secret(c))
		if c == aURL {
			rewriteURL(s, func(name, value string) string {
				masked = masked || unescape(value) == Masked && (name == "" || IsSecretName(name))
				return value
			})
		}
		if ok && masked {
			pointers = append(pointers, Pointer(m.path...))
		}
		return m.raw
	})
	return pointers
}
