// Load generator for RabbitMQ: messages into a quorum queue, each confirmed by the broker, through RabbitMQ's own Go
// client, in a closed loop.
//
// The queue keeps as many messages as the others have keys and drops its oldest for the next one. Each confirmation
// begins the next put, so no goroutine waits for another. The client writes a message in three pieces, each with a
// system call of its own; here its connection gathers what is written while the last write is under way.
package main

import (
	"context"
	"net"
	"sync"
	"time"

	loop "closed_loop"
	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	queue      = "bench"
	sweepEvery = 50 * time.Millisecond
)

// gathering is a connection that writes all it has been given since its last write at once.
type gathering struct {
	net.Conn
	lock    sync.Mutex
	pending []byte
	failure error
	wake    chan struct{}
}

func newGathering(conn net.Conn) *gathering {
	g := &gathering{Conn: conn, wake: make(chan struct{}, 1)}
	go g.writeAll()
	return g
}

func (g *gathering) Write(data []byte) (int, error) {
	g.lock.Lock()
	defer g.lock.Unlock()
	if g.failure != nil {
		return 0, g.failure
	}
	g.pending = append(g.pending, data...)
	select {
	case g.wake <- struct{}{}:
	default:
	}
	return len(data), nil
}

func (g *gathering) writeAll() {
	var spare []byte
	for range g.wake {
		g.lock.Lock()
		taken := g.pending
		g.pending = spare[:0]
		g.lock.Unlock()
		if len(taken) > 0 {
			if _, err := g.Conn.Write(taken); err != nil {
				g.lock.Lock()
				g.failure = err
				g.lock.Unlock()
				return
			}
		}
		spare = taken
	}
}

func dial(endpoint string) (*amqp.Connection, error) {
	return amqp.DialConfig("amqp://guest:guest@"+endpoint+"/", amqp.Config{
		Heartbeat: 10 * time.Second,
		Dial: func(network, address string) (net.Conn, error) {
			conn, err := net.DialTimeout(network, address, 5*time.Second)
			if err != nil {
				return nil, err
			}
			// The client sets a deadline for opening the connection and takes it away again.
			loop.Must(conn.SetDeadline(time.Now().Add(10 * time.Second)))
			return newGathering(conn), nil
		},
	})
}

// prepare makes the queue, unless it is there; its leader is the node that is asked.
func prepare(p loop.Plan) {
	connection, err := dial(p.Endpoints[0])
	loop.Must(err)
	defer connection.Close()
	channel, err := connection.Channel()
	loop.Must(err)
	_, err = channel.QueueDeclare(queue, true, false, false, false, amqp.Table{
		"x-queue-type":                "quorum",
		"x-quorum-initial-group-size": int32(p.Replicas),
		"x-max-length":                int32(p.Keys),
	})
	loop.Must(err)
}

// connection has some puts under way, by the numbers that the broker confirms them with.
type connection struct {
	lock    sync.Mutex
	channel *amqp.Channel
	started map[uint64]time.Time
	next    uint64
	value   []byte
	window  *loop.Window
}

// keepConnected opens a channel, has it answered until it closes, and opens the next one.
func (c *connection) keepConnected(p loop.Plan, number, outstanding int, ready *sync.WaitGroup) {
	for attempt := 0; ; attempt++ {
		link, err := dial(p.Endpoints[(number+attempt)%len(p.Endpoints)])
		if err != nil {
			time.Sleep(10 * loop.FailurePause)
			continue
		}
		channel, err := link.Channel()
		if err == nil {
			err = channel.Confirm(false)
		}
		if err == nil {
			c.serve(channel, outstanding, ready)
			ready = nil
		}
		link.Close()
	}
}

func (c *connection) serve(channel *amqp.Channel, outstanding int, ready *sync.WaitGroup) {
	confirmed := channel.NotifyPublish(make(chan amqp.Confirmation, 4*outstanding+16))
	c.lock.Lock()
	for range c.started {
		c.window.Failed()
	}
	c.channel, c.started, c.next = channel, map[uint64]time.Time{}, 1
	for i := 0; i < outstanding; i++ {
		c.call()
	}
	c.lock.Unlock()
	if ready != nil {
		ready.Done()
	}
	for each := range confirmed {
		c.onConfirmed(each)
	}
}

// call begins a put; the lock is held. If the channel is closed, the next one begins what was under way again.
func (c *connection) call() {
	c.started[c.next] = time.Now()
	c.next++
	message := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: c.value}
	_ = c.channel.PublishWithContext(context.Background(), "", queue, false, false, message)
}

func (c *connection) onConfirmed(each amqp.Confirmation) {
	ended := time.Now()
	c.lock.Lock()
	defer c.lock.Unlock()
	started, isWaiting := c.started[each.DeliveryTag]
	if !isWaiting {
		return
	}
	delete(c.started, each.DeliveryTag)
	if each.Ack {
		c.window.Acknowledged(started, ended)
	} else {
		c.window.Failed()
	}
	c.call()
}

// giveUp ends puts that were not confirmed in time.
func (c *connection) giveUp(deadline time.Duration) {
	for {
		time.Sleep(sweepEvery)
		c.lock.Lock()
		late := []uint64{}
		for number, started := range c.started {
			if time.Since(started) > deadline {
				late = append(late, number)
			}
		}
		for _, number := range late {
			delete(c.started, number)
			c.window.Failed()
			c.call()
		}
		c.lock.Unlock()
	}
}

func main() {
	p := loop.ReadPlan()
	if p.IsPrepare {
		prepare(p)
		return
	}
	w := &loop.Window{}
	ready := &sync.WaitGroup{}
	for i := 0; i < p.Connections; i++ {
		share := p.Outstanding / p.Connections
		if i < p.Outstanding%p.Connections {
			share++
		}
		c := &connection{started: map[uint64]time.Time{}, value: []byte(p.Value()), window: w}
		ready.Add(1)
		go c.keepConnected(p, i, share, ready)
		go c.giveUp(p.Deadline)
	}
	ready.Wait()
	w.Measure(p)
}
