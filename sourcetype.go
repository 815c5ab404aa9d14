package freshet

// A SourceType is what people and programs are told of a type of source.
type SourceType struct {
	Name    string   `json:"name"`            // what a topic's source.type says
	Summary string   `json:"summary"`         // one sentence
	Notes   string   `json:"notes,omitempty"` // what else there is to know, in Markdown
	Feeds   []Kind   `json:"feeds"`           // the kinds of topic that it can feed
	Pushed  bool     `json:"pushed"`          // data arrives by POST to the topic
	Options []Option `json:"options"`         // the members of source.config
}

// An Option is a member of the configuration of a source.
type Option struct {
	Name     string   `json:"name"`              // with the members that it is in, such as pagination.page.parameterName; [] is any item of a list, * any member of an object
	Type     string   `json:"type"`              // text, boolean, integer, number, duration, size, URL, secret, headers, JSON, object, list of …
	Summary  string   `json:"summary"`           // one sentence or more
	Default  string   `json:"default,omitempty"` // as a configuration spells it
	Least    string   `json:"least,omitempty"`   // of a number, a duration or a size, or of the length of a list
	Most     string   `json:"most,omitempty"`
	OneOf    []string `json:"oneOf,omitempty"`
	Required bool     `json:"required,omitempty"`
	Secret   bool     `json:"secret,omitempty"` // never shown again
}
