package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"

	"freshet"
)

// Address is a pattern with the topic's name in the place of {topic}, and the type of the event in that of {type}.
func (d *Delivery) Address(pattern string, m Message) string {
	return strings.NewReplacer("{topic}", string(d.Topic), "{type}", string(m.Type)).Replace(pattern)
}

// WrongPattern says what is wrong with a pattern for Address; "": nothing.
func WrongPattern(pattern string) string {
	rest := strings.NewReplacer("{topic}", "", "{type}", "").Replace(pattern)
	if at := strings.IndexAny(rest, "{}"); at >= 0 {
		return fmt.Sprintf("%.60q is no placeholder: {topic} and {type} are", rest[at:])
	}
	return ""
}

// Explain says in words for people why a broker did not get anything within timeout, or did not say that it has.
func Explain(err error, timeout freshet.Duration) error {
	if _, ok := errors.AsType[*Refusal](err); ok || err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if fault, ok := errors.AsType[freshet.Fault](err); ok {
		return Refusedf("%s", fault.Message)
	}
	if unreached := Unreached("broker", err); unreached != nil {
		return unreached
	}
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return Refusedf("no answer within %v", timeout)
	}
	return &Refusal{Err: fmt.Errorf("send to the broker: %w", err)}
}

// Unreached says in words for people why a receiver could not be spoken to; nil: for another reason than those that
// the words are for.
func Unreached(receiver string, err error) error {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return Refusedf("the %s's host is not known: %s", receiver, dns.Name)
	}
	if _, noTLS := errors.AsType[tls.RecordHeaderError](err); noTLS {
		return Refusedf("the %s does not speak TLS at that address and port: is it meant to, or is it another port?", receiver)
	}
	return nil
}
