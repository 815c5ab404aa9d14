package jsonpatch

// guided reads a value whose counterpart is node gi of the guide, at o in its text.
func (p *parser) guided(i int, pl place, gi, o int) int { return p.value(i, pl, none) }
