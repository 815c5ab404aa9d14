package journal

// ParseHeader reads an entry's header and writes it again, for the fuzzer.
func ParseHeader(s string) (string, error) {
	m, err := parseMeta(s)
	if err != nil {
		return "", err
	}
	return m.String(), nil
}

// ParseBatch reads the body of a message of several entries and writes it again, for the fuzzer.
func ParseBatch(body []byte) ([]byte, error) {
	events, err := parseBatch(body)
	if err != nil {
		return nil, err
	}
	return encodeBatch(events), nil
}
