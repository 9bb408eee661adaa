// Load generator for NATS JetStream: puts into a stream that keeps the newest message of each subject, as a key-value
// bucket does, through NATS's own Go client, in a closed loop.
//
// The client's own call for it (PublishAsync) makes a future a message. Here each acknowledgement begins the next put
// from within the subscription's callback instead, so no goroutine waits for another: this is the client's best.
package main

import (
	"bytes"
	"fmt"
	"math/rand"
	"strconv"
	"strings"
	"sync"
	"time"

	loop "closed_loop"
	"github.com/nats-io/nats.go"
)

const (
	stream        = "bench"
	subjectPrefix = "put."
	sweepEvery    = 50 * time.Millisecond
)

// prepare makes the stream, unless it is there.
func prepare(p loop.Plan) {
	nc := dial(p.Endpoints)
	defer nc.Close()
	js, err := nc.JetStream(nats.MaxWait(10 * time.Second))
	loop.Must(err)
	_, err = js.AddStream(&nats.StreamConfig{
		Name:              stream,
		Subjects:          []string{subjectPrefix + ">"},
		Storage:           nats.FileStorage,
		Replicas:          p.Replicas,
		MaxMsgsPerSubject: 1,
	})
	loop.Must(err)
}

func dial(endpoints []string) *nats.Conn {
	nc, err := nats.Connect(
		"nats://"+strings.Join(endpoints, ",nats://"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(20*time.Millisecond),
		nats.ReconnectJitter(10*time.Millisecond, 10*time.Millisecond),
		nats.Timeout(5*time.Second),
	)
	loop.Must(err)
	return nc
}

// caller has one put under way; an answer to an earlier one, which was given up, has another number.
type caller struct {
	connection *connection
	index      int
	lock       sync.Mutex
	number     int
	started    time.Time
	random     *rand.Rand
}

type connection struct {
	nc      *nats.Conn
	inbox   string
	callers []*caller
	value   []byte
	keys    int
	window  *loop.Window
}

// call begins the next put; the caller's lock is held.
func (c *caller) call() {
	c.number++
	c.started = time.Now()
	subject := fmt.Sprintf("%skey-%06d", subjectPrefix, c.random.Intn(c.connection.keys))
	reply := c.connection.inbox + "." + strconv.Itoa(c.index) + "." + strconv.Itoa(c.number)
	if err := c.connection.nc.PublishRequest(subject, reply, c.connection.value); err != nil {
		c.failed()
	}
}

// failed lets the caller try again in a moment; its lock is held.
func (c *caller) failed() {
	c.connection.window.Failed()
	c.number++ // an answer that comes all the same is nobody's
	number := c.number
	time.AfterFunc(loop.FailurePause, func() {
		c.lock.Lock()
		defer c.lock.Unlock()
		if c.number == number {
			c.call()
		}
	})
}

func (c *connection) onAnswer(message *nats.Msg) {
	ended := time.Now()
	words := strings.Split(message.Subject[len(c.inbox)+1:], ".")
	index, err := strconv.Atoi(words[0])
	loop.Must(err)
	number, err := strconv.Atoi(words[1])
	loop.Must(err)
	caller := c.callers[index]
	caller.lock.Lock()
	defer caller.lock.Unlock()
	if caller.number != number {
		return
	}
	if len(message.Data) == 0 || bytes.Contains(message.Data, []byte(`"error"`)) {
		caller.failed()
		return
	}
	c.window.Acknowledged(caller.started, ended)
	caller.call()
}

// giveUp ends puts that were not answered in time; an answer that was lost would stop its caller for ever.
func (c *connection) giveUp(deadline time.Duration) {
	for {
		time.Sleep(sweepEvery)
		for _, caller := range c.callers {
			caller.lock.Lock()
			if time.Since(caller.started) > deadline {
				caller.started = time.Now()
				caller.failed()
			}
			caller.lock.Unlock()
		}
	}
}

func connectAll(p loop.Plan, w *loop.Window) []*connection {
	connections := make([]*connection, p.Connections)
	for i := range connections {
		c := &connection{nc: dial(p.Endpoints), inbox: nats.NewInbox(), value: []byte(p.Value()), keys: p.Keys, window: w}
		_, err := c.nc.Subscribe(c.inbox+".*.*", c.onAnswer)
		loop.Must(err)
		connections[i] = c
	}
	return connections
}

func main() {
	p := loop.ReadPlan()
	if p.IsPrepare {
		prepare(p)
		return
	}
	w := &loop.Window{}
	connections := connectAll(p, w)
	for i := 0; i < p.Outstanding; i++ {
		c := connections[i%len(connections)]
		c.callers = append(c.callers, &caller{connection: c, index: len(c.callers), random: rand.New(rand.NewSource(int64(i)))})
	}
	for _, c := range connections {
		for _, caller := range c.callers {
			caller.lock.Lock()
			caller.call()
			caller.lock.Unlock()
		}
		go c.giveUp(p.Deadline)
	}
	w.Measure(p)
}
