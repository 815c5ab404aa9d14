package nats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"freshet"
	"freshet/internal/flow/source"
)

// answerTakes is how long the server may take for an answer.
const answerTakes = 10 * time.Second

// dialer connects as env does, and closes connections when ctx ends: the client's own time limits are long.
type dialer struct {
	ctx  context.Context //nolint:containedctx // the client calls Dial without one
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu  sync.Mutex
	err error // of the last attempt; the client hides some
}

func (d *dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.dial(d.ctx, network, address)
	d.mu.Lock()
	d.err = err
	d.mu.Unlock()
	if err == nil {
		context.AfterFunc(d.ctx, func() { _ = conn.Close() })
	}
	return conn, err
}

// connect makes a connection until ctx ends. ended is called when it has ended, which is for good; told, when
// messages were lost on the way in.
func (r *reader) connect(ctx context.Context, ended func(error), told func(freshet.Fault)) (*nats.Conn, error) {
	d := &dialer{ctx: ctx, dial: r.env.Dial}
	o := nats.GetDefaultOptions()
	o.Servers = r.servers
	o.Name = "freshet " + string(r.env.Topic)
	o.CustomDialer, o.SkipHostLookup = d, true // the guard wants the name
	o.AllowReconnect, o.IgnoreDiscoveredServers = false, true
	o.Timeout, o.PingInterval, o.MaxPingsOut = answerTakes, 15*time.Second, 2
	o.InboxPrefix = r.InboxPrefix
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
	if err := r.login(&o); err != nil {
		return nil, err
	}
	nc, err := o.Connect()
	if err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		if errors.Is(err, nats.ErrNoServers) && d.err != nil {
			err = d.err
		}
		return nil, err //nolint:wrapcheck // explain says what it means
	}
	return nc, nil
}

// login adds what a connection shows of who it is, as it is now.
func (r *reader) login(o *nats.Options) error {
	password, err1 := r.env.Secrets.Reveal(r.Password)
	token, err2 := r.env.Secrets.Reveal(r.Token)
	seed, err3 := r.env.Secrets.Reveal(r.NKey)
	creds, err4 := r.env.Secrets.Reveal(r.Creds)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return source.Faultf(freshet.FaultConfig, "%v", err)
	}
	o.User, o.Password, o.Token = r.User, password, token
	if seed != "" {
		pair, err := nkeys.FromSeed([]byte(seed))
		if err != nil {
			return source.Faultf(freshet.FaultConfig, "nkey: it is not the seed of an NKey")
		}
		if o.Nkey, err = pair.PublicKey(); err != nil {
			return source.Faultf(freshet.FaultConfig, "nkey: it is not the seed of an NKey")
		}
		o.SignatureCB = pair.Sign
	}
	if creds != "" {
		_, errJWT := nkeys.ParseDecoratedJWT([]byte(creds))
		_, errKey := nkeys.ParseDecoratedUserNKey([]byte(creds))
		if errors.Join(errJWT, errKey, nats.UserCredentialBytes([]byte(creds))(o)) != nil {
			return source.Faultf(freshet.FaultConfig, "creds: it is not the content of a credentials file")
		}
	}
	if r.secure {
		config, err := r.TLS.Config(r.env.Secrets)
		if err != nil {
			return source.Faultf(freshet.FaultConfig, "%v", err)
		}
		o.Secure, o.TLSConfig, o.TLSHandshakeFirst = true, config, r.TLSFirst
	}
	return nil
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
			f = source.Faultf(freshet.FaultConfig, "JetStream refuses the consumer, with the code %d", int(api.ErrorCode))
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
