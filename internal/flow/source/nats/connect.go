package nats

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"freshet"
	"freshet/internal/flow/source"
)

// connect makes a connection until ctx ends. ended is called when it has ended, which is for good; told, when
// messages were lost on the way in.
func (r *reader) connect(ctx context.Context, ended func(error), told func(freshet.Fault)) (*nats.Conn, error) {
	return r.Connect(ctx, r.env, "freshet "+string(r.env.Topic), func(o *nats.Options) { //nolint:wrapcheck // explain says what it means
		o.ClosedCB = func(nc *nats.Conn) {
			err := nc.LastError()
			if err == nil {
				err = io.EOF
			}
			ended(err)
		}
		o.AsyncErrorCB = func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrSlowConsumer) {
				told(source.Faultf(freshet.FaultPublication, "messages came faster than they could be stored, and some were lost"))
			}
		}
	})
}

// explain makes what the client says one of the faults that subscribers are told. The error itself is kept
// for the log.
func (r *reader) explain(err error) error {
	is := func(any ...error) bool {
		for _, target := range any {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
	var f freshet.Fault
	switch {
	case err == nil:
		return nil
	case is(nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired):
		f = source.Faultf(freshet.FaultHTTP+401, "upstream refuses the credentials")
	case is(nats.ErrNkeysNotSupported, nats.ErrNoUserCB, nats.ErrNkeyButNoSigCB):
		f = source.Faultf(freshet.FaultHTTP+401, "upstream takes other credentials")
	case is(nats.ErrPermissionViolation):
		f = source.Faultf(freshet.FaultHTTP+403, "upstream does not let this user read %s", r.what())
	case is(nats.ErrMaxConnectionsExceeded):
		f = source.Faultf(freshet.FaultHTTP+429, "upstream has no room for another connection")
	case is(nats.ErrSecureConnWanted):
		f = source.Faultf(freshet.FaultConfig, "upstream does not offer TLS, which the source wants")
	case is(nats.ErrStaleConnection):
		f = source.Faultf(freshet.FaultConnection, "upstream no longer answers")
	case is(jetstream.ErrStreamNotFound):
		f = source.Faultf(freshet.FaultHTTP+404, "upstream has no stream %s", r.Stream)
	case is(jetstream.ErrJetStreamNotEnabled, jetstream.ErrJetStreamNotEnabledForAccount, nats.ErrNoResponders):
		f = source.Faultf(freshet.FaultConfig, "upstream has no JetStream for this user, or not in this domain")
	case is(jetstream.ErrConsumerDeleted, jetstream.ErrConsumerNotFound):
		f = source.Faultf(freshet.FaultPublication, "upstream's consumer was deleted: it is made again")
	case is(jetstream.ErrNotPullConsumer):
		f = source.Faultf(freshet.FaultConfig, "the durable consumer is one that pushes: the source needs one that is pulled from")
	case is(nats.ErrTimeout, nats.ErrNoServers, context.DeadlineExceeded, jetstream.ErrNoHeartbeat):
		f = source.Faultf(freshet.FaultConnection, "upstream did not answer in time")
	default:
		if api, ok := errors.AsType[*jetstream.APIError](err); ok {
			f = source.Faultf(freshet.FaultConfig, "JetStream refuses the consumer: %.200s (code %d)", api.Description, int(api.ErrorCode))
			break
		}
		return err
	}
	return fmt.Errorf("%w (%w)", f, err)
}

func (r *reader) what() string {
	if r.Stream != "" {
		return "the stream " + r.Stream
	}
	return "the subject " + r.Subject
}
