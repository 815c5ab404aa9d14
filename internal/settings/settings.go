// Package settings reads the configurations of sources, and of all else that has many types: what a
// configuration holds is said once, by the fields of a struct and their tags. From there come the defaults,
// the checks, the masking of secrets, the API's description and the tables of the documentation.
//
// The tags of a field, all but doc for those who need them:
//
//	json      its name
//	doc       one sentence or more for people, without a full stop at the end; required
//	default   as a configuration spells it; without one the zero value
//	range     least..most, of a number, a duration, a size, or the length of a list
//	oneof     the values it may have, separated by commas
//	required  true: it must be there, and not be empty
//	schemes   of a URL: those it may have, separated by commas
//	address   true: secrets go where it says, so it cannot change and a secret stay
//	when      other=a,b: of use only where the member beside it has one of these values; without =, where it is true
//
// A struct that knows more about itself has a method Check(*Verdict).
package settings

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"freshet"
	"freshet/internal/egress"
	"freshet/internal/strict"
)

// A URL is an address. Secrets in it are masked where it is shown.
type URL string

// Headers are names with values, of a request's header or of a query. Values that look secret are masked.
type Headers map[string]string

// A Checker is a configuration, or a part of one, that finds mistakes which tags cannot express.
type Checker interface{ Check(v *Verdict) }

// Read reads a configuration, for which nothing at all stands for {}, into the struct that into points to.
// It returns everything that is wrong with it; nil: nothing.
func Read(config json.RawMessage, into any) freshet.Invalid {
	if len(bytes.TrimSpace(config)) == 0 || string(config) == "null" {
		config = json.RawMessage("{}")
	}
	v := &Verdict{}
	v.found = strict.Decode(config, into)
	value := reflect.ValueOf(into).Elem()
	if !v.bad("") {
		fill(value, config)
	}
	for _, pointer := range stillMasked(config, value.Type()) {
		v.Say(pointer, "%s stands for a secret that is stored, and none is stored for it here, or one for another host: write the secret itself", Masked)
	}
	if !v.bad("") {
		v.check(value)
	}
	return v.found
}

// fill gives what a configuration leaves out its default.
func fill(v reflect.Value, config json.RawMessage) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			fill(v.Elem(), config)
		}
	case reflect.Slice:
		var items []json.RawMessage
		if v.Type().Elem().Kind() != reflect.Struct || json.Unmarshal(config, &items) != nil {
			return
		}
		for i := range min(v.Len(), len(items)) {
			fill(v.Index(i), items[i])
		}
	case reflect.Map:
		var members map[string]json.RawMessage
		if v.Type().Elem().Kind() != reflect.Struct || json.Unmarshal(config, &members) != nil {
			return
		}
		eachOf(v, func(name string, item reflect.Value) { fill(item, members[name]) })
	case reflect.Struct:
		var members map[string]json.RawMessage
		_ = json.Unmarshal(config, &members) // what cannot be read has none, and was found already
		for f := range fieldsOf(v.Type()) {
			raw, there := members[f.name]
			to := v.FieldByIndex(f.index)
			if there && string(raw) != "null" {
				fill(to, raw)
			} else if def := f.tag.Get("default"); def != "" {
				f.setDefault(to, def)
			} else if to.Kind() == reflect.Struct {
				fill(to, nil)
			}
		}
	}
}

// eachOf passes each value of a map, in the order of their names, to change it.
func eachOf(m reflect.Value, change func(name string, item reflect.Value)) {
	names := m.MapKeys()
	slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	for _, name := range names {
		item := reflect.New(m.Type().Elem()).Elem()
		item.Set(m.MapIndex(name))
		change(name.String(), item)
		m.SetMapIndex(name, item)
	}
}

// setDefault panics where the tag is wrong, which the first use of the type shows.
func (f field) setDefault(to reflect.Value, def string) {
	text := json.RawMessage(def)
	if !json.Valid(text) || to.Kind() == reflect.String {
		text = spell(def)
	}
	if wrong := strict.Decode(text, to.Addr().Interface()); wrong != nil {
		panic(fmt.Sprintf("settings: default of %s: %v", f.name, wrong))
	}
}

// A field of a struct as a configuration names it.
type field struct {
	name  string
	index []int
	typ   reflect.Type
	tag   reflect.StructTag
}

// fieldsOf yields the fields that a configuration can name, those of embedded structs among them.
func fieldsOf(t reflect.Type) func(yield func(field) bool) {
	return func(yield func(field) bool) {
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" || name == "-" || !f.IsExported() {
				continue
			}
			if !yield(field{name, f.Index, f.Type, f.Tag}) {
				return
			}
		}
	}
}

// A Verdict collects what is wrong with a configuration, one complaint for each member.
type Verdict struct {
	found freshet.Invalid
	at    string // where the struct is that is being checked
}

// Say notes what is wrong with the member at a JSON Pointer (RFC 6901) below the struct that is being
// checked. The first thing said of a member stands.
func (v *Verdict) Say(pointer, format string, args ...any) {
	pointer = v.at + pointer
	if v.bad(pointer) {
		return
	}
	v.found = append(v.found, freshet.FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

// bad says whether something was said of the member, or the whole could not even be read.
func (v *Verdict) bad(pointer string) bool {
	return slices.ContainsFunc(v.found, func(f freshet.FieldError) bool {
		return f.Pointer == "" || f.Pointer == pointer
	})
}

// check judges a struct, and those in it, by their tags and by what they say themselves.
func (v *Verdict) check(value reflect.Value) {
	for f := range fieldsOf(value.Type()) {
		at := Pointer(f.name)
		if field := value.FieldByIndex(f.index); f.typ == urlType {
			v.checkURL(at, f, URL(field.String()), value.Type())
		} else {
			v.checkField(at, f, field)
		}
		if when := f.tag.Get("when"); when != "" {
			v.checkUse(at, f, value, when)
		}
	}
	if value.CanAddr() {
		if c, ok := reflect.TypeAssert[Checker](value.Addr()); ok {
			c.Check(v)
		}
	}
}

func (v *Verdict) checkField(at string, f field, value reflect.Value) {
	required := f.tag.Get("required") == "true"
	if required && value.IsZero() {
		v.Say(at, "is required: %s", lowerFirst(f.tag.Get("doc")))
		return
	}
	if value.Kind() == reflect.Pointer {
		if value.IsNil() {
			return
		}
		value = value.Elem()
	}
	if oneof := f.tag.Get("oneof"); oneof != "" {
		v.checkOneOf(at, value, strings.Split(oneof, ","))
	}
	if limits := f.tag.Get("range"); limits != "" {
		v.checkRange(at, value, limits)
	}
	switch {
	case value.Kind() == reflect.Struct && value.NumField() > 0:
		v.below(at, func() { v.check(value) })
	case value.Kind() == reflect.Map && value.Type().Elem().Kind() == reflect.Struct:
		eachOf(value, func(name string, item reflect.Value) {
			v.below(at+Pointer(name), func() { v.check(item) })
		})
	case value.Kind() == reflect.Slice && value.Type().Elem().Kind() == reflect.Struct:
		for i := range value.Len() {
			v.below(at+"/"+strconv.Itoa(i), func() { v.check(value.Index(i)) })
		}
	}
}

// checkUse refuses what would have no effect: a member that has another value than its default, and that only counts
// where the one beside it is another than it is. It panics where the tag is wrong, which the first use of the type shows.
func (v *Verdict) checkUse(at string, f field, within reflect.Value, when string) {
	name, values, _ := strings.Cut(when, "=")
	other, ok := fieldNamed(within.Type(), name)
	if !ok {
		panic("settings: tag when of " + f.name + ": there is no member " + name)
	}
	allowed := strings.Split(cmp.Or(values, "true"), ",")
	is := fmt.Sprint(within.FieldByIndex(other.index).Interface())
	switch {
	case slices.Contains(allowed, is) || !f.given(within.FieldByIndex(f.index)) || v.bad(v.at+Pointer(name)):
	case values == "":
		v.Say(at, "is of no use without %s", name)
	default:
		v.Say(at, "is of no use with %s %.40s, but with %s", name, is, choices(allowed))
	}
}

// given says whether a field has another value than without the member.
func (f field) given(value reflect.Value) bool {
	switch value.Kind() {
	case reflect.Slice, reflect.Map:
		if value.Len() == 0 {
			return false
		}
	}
	absent := reflect.New(f.typ).Elem()
	if def := f.tag.Get("default"); def != "" {
		f.setDefault(absent, def)
	} else if absent.Kind() == reflect.Struct {
		fill(absent, nil)
	}
	return !reflect.DeepEqual(value.Interface(), absent.Interface())
}

// below judges with all pointers below one.
func (v *Verdict) below(at string, judge func()) {
	before := v.at
	v.at += at
	judge()
	v.at = before
}

func lowerFirst(s string) string {
	if len(s) > 1 && s[0] >= 'A' && s[0] <= 'Z' && (s[1] < 'A' || s[1] > 'Z') {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}

// checkURL never shows what may be a piece of a password. within is what the URL is a member of.
func (v *Verdict) checkURL(at string, f field, u URL, within reflect.Type) {
	if u == "" {
		if f.tag.Get("required") == "true" {
			v.Say(at, "is required: %s", lowerFirst(f.tag.Get("doc")))
		}
		return
	}
	allowed := []string{"http", "https"}
	var err error
	if schemes := f.tag.Get("schemes"); schemes == "" {
		_, err = egress.ParseURL(string(u))
	} else {
		allowed = strings.Split(schemes, ",")
		_, err = parseURL(string(u), allowed)
	}
	switch {
	case err == nil:
	case strings.Contains(string(u), "@"):
		v.Say(at, "a user or password in the URL is not sent: %s. If there is none in it, it is no URL that begins with %s:// and a host", insteadOfUser(within), strings.Join(allowed, ":// or "))
	default:
		v.Say(at, "%v", err)
	}
}

// insteadOfUser says where a user and a password are written that are not in a URL.
func insteadOfUser(within reflect.Type) string {
	has := func(name string) bool { _, ok := fieldNamed(within, name); return ok }
	switch {
	case has("username") && has("password"):
		return "they are the members username and password"
	case has("authorization"):
		return "they are of the member authorization, with its type basic"
	}
	return "they are members of their own"
}

// parseURL parses a URL of one of the schemes, with a host and no user.
func parseURL(raw string, schemes []string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("is not a URL")
	case !slices.Contains(schemes, u.Scheme):
		return nil, fmt.Errorf("must begin with %s://", strings.Join(schemes, ":// or "))
	case u.User != nil:
		return nil, fmt.Errorf("has a user")
	case u.Hostname() == "":
		return nil, fmt.Errorf("has no host")
	}
	return u, nil
}

func (v *Verdict) checkOneOf(at string, value reflect.Value, allowed []string) {
	if value.Kind() == reflect.Slice {
		for i := range value.Len() {
			v.checkOneOf(at+"/"+strconv.Itoa(i), value.Index(i), allowed)
		}
		return
	}
	is := fmt.Sprint(value.Interface())
	if slices.Contains(allowed, is) || is == "" {
		return
	}
	near := strict.Near(is, allowed)
	if near != "" {
		near = fmt.Sprintf(": did you mean %q?", near)
	}
	v.Say(at, "must be %s, not %.40q%s", choices(allowed), is, near)
}

func choices(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// checkRange panics where the tag is wrong, which the first use of the type shows.
func (v *Verdict) checkRange(at string, value reflect.Value, limits string) {
	least, most, _ := strings.Cut(limits, "..")
	outside := false
	is := value.Interface()
	switch x := is.(type) {
	case freshet.Duration:
		outside = x < must(freshet.ParseDuration(least)) || x > must(freshet.ParseDuration(most))
	case freshet.Bytes:
		outside = x < must(freshet.ParseBytes(least)) || x > must(freshet.ParseBytes(most))
	default:
		var n float64
		switch value.Kind() {
		case reflect.Slice, reflect.Map:
			n, is = float64(value.Len()), fmt.Sprintf("%d entries", value.Len())
		case reflect.String:
			n, is = float64(value.Len()), fmt.Sprintf("%d bytes long", value.Len())
		case reflect.Float64:
			n = value.Float()
		default:
			n = float64(value.Int())
		}
		outside = n < must(strconv.ParseFloat(least, 64)) || n > must(strconv.ParseFloat(most, 64))
	}
	if outside {
		v.Say(at, "must be from %s to %s, not %v", least, most, is)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("settings: tag range: %v", err))
	}
	return v
}

// WholeSeconds notes a duration that is none, for protocols that count in them.
func (v *Verdict) WholeSeconds(pointer string, d freshet.Duration) {
	if time.Duration(d)%time.Second != 0 {
		v.Say(pointer, "must be whole seconds, not %v", d)
	}
}

// Between notes a duration that is outside of its bounds, for bounds that depend on other members.
func (v *Verdict) Between(pointer string, d freshet.Duration, least, most time.Duration) {
	if time.Duration(d) < least || time.Duration(d) > most {
		v.Say(pointer, "must be from %v to %v, not %v", freshet.Duration(least), freshet.Duration(most), d)
	}
}
