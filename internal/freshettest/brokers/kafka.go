// Package brokers starts brokers that others made, for tests.
package brokers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"freshet/internal/freshettest"
)

// kafkaVersion is the one that is current.
const kafkaVersion = "4.1.1"

var fetching sync.Mutex //nolint:gochecknoglobals // a lock

// jars is the folder with the classes of Apache Kafka, which Maven fetches the first time.
func jars(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		freshettest.Skip(t, "there is no folder for what is cached: %v", err)
	}
	folder := filepath.Join(cache, "freshet-test", "kafka-"+kafkaVersion)
	fetching.Lock() // tests run beside each other
	defer fetching.Unlock()
	if _, err := os.Stat(filepath.Join(folder, "done")); err == nil {
		return folder
	}
	mvn := freshettest.Program(t, "apt-get install maven", "mvn")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	pom := `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>test</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>` + kafkaVersion + `</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
</dependencies></project>`
	if err := os.WriteFile(filepath.Join(folder, "pom.xml"), []byte(pom), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", filepath.Join(folder, "pom.xml"), "dependency:copy-dependencies", "-DoutputDirectory="+folder) //nolint:gosec // both are our own
	if out, err := cmd.CombinedOutput(); err != nil {
		freshettest.Skip(t, "Apache Kafka could not be fetched by Maven: %v: %.500s", err, out)
	}
	if err := os.WriteFile(filepath.Join(folder, "done"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// A Kafka is Apache Kafka itself, alone in its cluster. At SASL and TLS it takes PLAIN from the user p, with
// KafkaPassword, SCRAM from s256 and s512, with "swordfish", and OAUTHBEARER with unsigned tokens. At TLS it wants a
// certificate besides: its own, which has its key in key.pem beside it.
type Kafka struct {
	*freshettest.Process
	Plain, SASL, TLS string // its addresses
	Cert             string // the file of its certificate, and of its authority
}

// KafkaPassword is that of the user p.
const KafkaPassword = "sword,fish=1"

// StartKafka starts it, until the test ends. Where it cannot be had, the test is skipped.
func StartKafka(t testing.TB) *Kafka {
	t.Helper()
	java := freshettest.Program(t, "apt-get install default-jre-headless", "java")
	classes := filepath.Join(jars(t), "*")
	folder := t.TempDir()
	address := func() string { return fmt.Sprintf("127.0.0.1:%d", freshettest.Port(t)) }
	b := &Kafka{Plain: address(), SASL: address(), TLS: address(), Cert: filepath.Join(folder, "cert.pem")}
	controller := address()
	store := certificate(t, folder)
	const module = "org.apache.kafka.common.security"
	var lines []string
	set := func(name, value string, args ...any) { lines = append(lines, name+"="+fmt.Sprintf(value, args...)) }
	set("process.roles", "broker,controller")
	set("node.id", "1")
	set("controller.quorum.voters", "1@%s", controller)
	set("controller.listener.names", "CONTROLLER")
	set("inter.broker.listener.name", "PLAIN")
	set("listeners", "PLAIN://%s,SASL://%s,TLS://%s,CONTROLLER://%s", b.Plain, b.SASL, b.TLS, controller)
	set("listener.security.protocol.map", "PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SASL_SSL,CONTROLLER:PLAINTEXT")
	set("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER")
	for _, listener := range []string{"sasl", "tls"} {
		set("listener.name."+listener+".plain.sasl.jaas.config", module+`.plain.PlainLoginModule required user_p="%s";`, KafkaPassword)
		set("listener.name."+listener+".scram-sha-256.sasl.jaas.config", module+".scram.ScramLoginModule required;")
		set("listener.name."+listener+".scram-sha-512.sasl.jaas.config", module+".scram.ScramLoginModule required;")
		set("listener.name."+listener+".oauthbearer.sasl.jaas.config", module+".oauthbearer.OAuthBearerLoginModule required;")
	}
	set("ssl.keystore.type", "PEM")
	set("ssl.keystore.location", "%s", store)
	set("ssl.truststore.type", "PEM")
	set("ssl.truststore.location", "%s", b.Cert)
	set("listener.name.tls.ssl.client.auth", "required")
	set("log.dirs", "%s", filepath.Join(folder, "data"))
	set("log.flush.interval.messages", "1") // so that kill -9 loses nothing that was confirmed
	set("offsets.topic.num.partitions", "1")
	set("offsets.topic.replication.factor", "1")
	set("transaction.state.log.num.partitions", "1")
	set("transaction.state.log.replication.factor", "1")
	set("transaction.state.log.min.isr", "1")
	set("broker.session.timeout.ms", "1000") // so that one that was killed may soon be back
	set("broker.heartbeat.interval.ms", "200")
	set("group.initial.rebalance.delay.ms", "0")
	config := filepath.Join(folder, "server.properties")
	if err := os.WriteFile(config, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command(java, append([]string{"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classes}, args...)...) //nolint:gosec,noctx // a test kills it
		cmd.Dir = folder
		return cmd
	}
	format := command("kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", config,
		"--add-scram", "SCRAM-SHA-256=[name=s256,password=swordfish]", "--add-scram", "SCRAM-SHA-512=[name=s512,password=swordfish]")
	if out, err := format.CombinedOutput(); err != nil {
		t.Fatalf("format: %v: %s", err, out)
	}
	b.Process = freshettest.Start(t, b.Plain, func() *exec.Cmd { return command("kafka.Kafka", config) })
	return b
}

// KafkaToken is a token that the broker takes: an unsigned JWT.
func KafkaToken(expires time.Time) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"none"}`) + "." + part(fmt.Sprintf(`{"sub":"someone","iat":%d,"exp":%d}`, time.Now().Unix(), expires.Unix())) + "."
}

// certificate writes a certificate of 127.0.0.1, and its key, to cert.pem and key.pem of a folder, and both to a
// third file, whose name it returns. Other than those of package selfsigned it has a subject: Java wants one.
func certificate(t testing.TB, folder string) (both string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	for name, text := range map[string][]byte{"cert.pem": certPEM, "key.pem": keyPEM, "both.pem": append(keyPEM, certPEM...)} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(folder, "both.pem")
}

// FakeKafka is a cluster of one broker in this process, with a topic "prices" of some partitions.
func FakeKafka(t testing.TB, partitions int32, options ...kfake.Opt) (servers string, k *kfake.Cluster) {
	t.Helper()
	k, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(partitions, "prices")}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return strings.Join(k.ListenAddrs(), ","), k
}

// CreateTopic makes a topic of a broker that may have started just now.
func CreateTopic(t testing.TB, client *kgo.Client, topic string, partitions int32) {
	t.Helper()
	freshettest.WaitFor(t, time.Minute, "the topic "+topic+" is there", func() bool {
		req := kmsg.NewPtrCreateTopicsRequest()
		of := kmsg.NewCreateTopicsRequestTopic()
		of.Topic, of.NumPartitions, of.ReplicationFactor = topic, partitions, 1
		req.Topics = append(req.Topics, of)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		resp, err := req.RequestWith(ctx, client)
		return err == nil && (resp.Topics[0].ErrorCode == 0 || errors.Is(kerr.ErrorForCode(resp.Topics[0].ErrorCode), kerr.TopicAlreadyExists))
	})
}
