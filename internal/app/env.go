package app

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"freshet"
	"freshet/internal/strict"
)

// prefix is what the variables that set something begin with.
const prefix = "FRESHET_"

// variables is an environment, and which of it was asked for by name.
type variables struct {
	values map[string]string
	asked  map[string]bool
}

func variablesOf(env []string) *variables {
	v := &variables{map[string]string{}, map[string]bool{}}
	for _, pair := range env {
		if name, value, ok := strings.Cut(pair, "="); ok {
			v.values[name] = value
		}
	}
	return v
}

func (v *variables) lookup(name string) (string, bool) {
	v.asked[name] = true
	value, ok := v.values[name]
	return value, ok
}

// notOurs says whether a variable that begins like ours belongs to somebody else: the CLI, tests, or
// Kubernetes, which describes a Service called freshet to every container that way.
func notOurs(name string) bool {
	rest := strings.TrimPrefix(name, prefix)
	return rest == "SERVER" || strings.HasPrefix(rest, "SECRET_") || rest == "CACERT" || rest == "CONFIG" || rest == "LISTENER" || rest == "PORT" ||
		strings.HasPrefix(rest, "PORT_") || strings.HasPrefix(rest, "SERVICE_") || strings.HasPrefix(rest, "TEST_")
}

// fromEnv are the pointers of what the environment has set, with the names of the variables.
type fromEnv map[string]string

// covers is the variable that sets what the pointer leads to; "" where none does.
func (s fromEnv) covers(pointer string) string {
	for at, name := range s {
		if pointer == at || strings.HasPrefix(pointer, at+"/") {
			return name
		}
	}
	return ""
}

// wrong are those of the mistakes in a configuration that are in what the environment has set.
func (s fromEnv) wrong(found freshet.Invalid) (all Mistakes) {
	for _, e := range found {
		if name := s.covers(e.Pointer); name != "" {
			all = append(all, Mistake{Where: name, Detail: e.Detail})
		}
	}
	return all
}

// into sets what the variables say. One that is empty says nothing.
func (v *variables) into(c *Config) (fromEnv, Mistakes) {
	known := map[string]target{}
	targets(reflect.ValueOf(c).Elem(), prefix, "", known)
	known[prefix+"INSECURE"] = target{value: reflect.ValueOf(&c.Insecure).Elem(), pointer: "/insecure"}

	set, wrong := fromEnv{}, Mistakes(nil)
	for _, name := range slices.Sorted(maps.Keys(v.values)) {
		to, ok := known[name]
		switch {
		case !strings.HasPrefix(name, prefix) || v.values[name] == "":
		case ok:
			set[to.pointer] = name
			for _, e := range to.read(v.values[name]) {
				wrong = append(wrong, Mistake{Where: name, Detail: itemOf(e) + e.Detail})
			}
		case !v.asked[name] && !notOurs(name):
			wrong = append(wrong, Mistake{Where: name, Detail: unknownVariable(name, slices.Sorted(maps.Keys(known)))})
		}
	}
	return set, wrong
}

func unknownVariable(name string, known []string) string {
	if near := strict.Near(name, known); near != "" {
		return fmt.Sprintf("unknown variable: did you mean %s?", near)
	}
	return "unknown variable: known are " + strings.Join(known, ", ")
}

// itemOf names the item of a list that a mistake is in.
func itemOf(e freshet.FieldError) string {
	i, err := strconv.Atoi(strings.TrimPrefix(e.Pointer, "/"))
	if err != nil {
		return ""
	}
	return fmt.Sprintf("item %d: ", i+1)
}

// A target is what a variable sets.
type target struct {
	value   reflect.Value
	pointer string
}

// targets finds every scalar and every list of scalars in a struct: FRESHET_SECTION_KEY, with an
// underscore before each capital of the key.
func targets(v reflect.Value, name, pointer string, found map[string]target) {
	for i := range v.NumField() {
		tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		field := v.Field(i)
		to := target{field, pointer + "/" + tag}
		switch {
		case tag == "-":
		case field.Kind() == reflect.Struct && !parsesText(field.Type()):
			targets(field, name+upperSnake(tag)+"_", to.pointer, found)
		case field.Kind() == reflect.Slice && field.Type().Elem().Kind() == reflect.Struct && !parsesText(field.Type().Elem()):
			// the topics have no place in a variable
		case field.Kind() == reflect.Map:
			// nor have names with secrets
		default:
			found[name+upperSnake(tag)] = to
		}
	}
}

func upperSnake(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}

func parsesText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// read sets the target to what a variable holds: a scalar, or a list separated by commas.
func (t target) read(s string) freshet.Invalid {
	text := quote(strings.TrimSpace(s))
	switch kind := t.value.Kind(); {
	case kind == reflect.Slice:
		items := []string{}
		for item := range strings.SplitSeq(s, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, quote(item))
			}
		}
		text = "[" + strings.Join(items, ",") + "]"
	case kind == reflect.String || parsesText(t.value.Type()):
	case json.Valid([]byte(s)):
		text = s
	}
	return strict.Decode([]byte(text), t.value.Addr().Interface())
}
