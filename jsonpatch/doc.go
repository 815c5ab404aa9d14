// Package jsonpatch computes and applies JSON Patches (RFC 6902) on raw JSON bytes.
//
// Nothing is decoded into maps and slices. A [Document] is a text and a flat list of where its values
// stand; a [Differ] compares two of them and writes a patch straight from their texts. Numbers keep
// their spelling from end to end: 1.0, 1e400 and integers of any length come out as they went in.
//
// # Guided reading
//
// Most of a polled document is what it was a moment ago. [Document.Parse] takes the document before as
// a guide, compares bytes, and reads only what differs; it also remembers which value is which, so that
// [Differ.Append] looks at changes only. Both reuse their memory: a poll allocates nothing.
//
// # What a patch looks like
//
// Objects match by name, whatever the order of members. Elements of arrays match when they are equal,
// else by a member that identifies them (configured, or one like id or symbol that is found), else by
// their order between elements that match. Elements that change their place are moved, as few as
// possible. Where the operations inside a value would take more bytes than replacing it, it is
// replaced; so a patch is never larger than the new document and 40 bytes.
//
// Paths with the names __proto__, constructor and prototype, which clients in JavaScript refuse, are
// avoided: the nearest value above them is replaced.
//
// # Other ways to tell a change
//
// [Differ.AppendMerge] writes merge patches (RFC 7396) and [ApplyMerge] applies them. [Differ.AppendChanges]
// tells which items of arrays were created, updated and deleted, by what identifies them, and [ApplyChanges]
// applies that. [Differ.Items] compares one collection.
//
// # What is accepted
//
// JSON as RFC 8259 has it, in UTF-8, strictly. Of members with the same name the last counts. Texts
// with invalid UTF-8, lone surrogates or a byte order mark are refused, with the offset, rather than
// repaired: two different texts must not become equal. What comes out is canonical: without white
// space, and with strings in their shortest spelling.
package jsonpatch
