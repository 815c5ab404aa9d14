package journal

// ParseHeader reads an entry's header and writes it again, for the fuzzer.
func ParseHeader(s string) (string, error) {
	m, err := parseMeta(s)
	if err != nil {
		return "", err
	}
	return m.String(), nil
}
