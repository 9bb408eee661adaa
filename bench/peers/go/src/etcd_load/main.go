// Load generator for etcd: puts through etcd's own Go client, in a closed loop.
package main

import (
	"context"
	"fmt"
	"math/rand"
	"time"

	loop "closed_loop"
	"go.etcd.io/etcd/clientv3"
)

func dial(endpoints []string) *clientv3.Client {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            endpoints,
		DialTimeout:          5 * time.Second,
		DialKeepAliveTime:    time.Second,
		DialKeepAliveTimeout: time.Second,
	})
	loop.Must(err)
	return client
}

// dialAll gives every client all endpoints; the client itself takes turns between them.
func dialAll(p loop.Plan) []*clientv3.Client {
	clients := make([]*clientv3.Client, p.Connections)
	for i := range clients {
		clients[i] = dial(p.Endpoints)
	}
	return clients
}

// call puts random keys one after the other until the program ends.
func call(client *clientv3.Client, p loop.Plan, w *loop.Window, seed int64) {
	random := rand.New(rand.NewSource(seed))
	value := p.Value()
	for {
		key := fmt.Sprintf("key-%06d", random.Intn(p.Keys))
		ctx, cancel := context.WithTimeout(context.Background(), p.Deadline)
		started := time.Now()
		_, err := client.Put(ctx, key, value)
		cancel()
		if err == nil {
			w.Acknowledged(started, time.Now())
			continue
		}
		w.Failed()
		time.Sleep(loop.FailurePause)
	}
}

func main() {
	p := loop.ReadPlan()
	w := &loop.Window{}
	clients := dialAll(p)
	for i := 0; i < p.Outstanding; i++ {
		go call(clients[i%len(clients)], p, w, int64(i))
	}
	w.Measure(p)
}
