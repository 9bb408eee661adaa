// Load generator for etcd: puts through etcd's own Go client, in a closed loop.
//
// Speaks the protocol of all load generators here (bench/generator.py): options on the command line, JSON lines on
// stdout: "began" when the measured window opens, "ended" when it closes, and one "result".
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/bits"
	"math/rand"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/clientv3"
)

// Latencies are kept like HdrHistogram keeps them: buckets of equal width within a power of two, 1024 or more a power,
// so that every value is known to one part in a thousand.
const subBuckets = 2048
const bucketCount = subBuckets * 24

type histogram struct{ counts [bucketCount]int64 }

func bucketOf(us int64) int {
	shift := bits.Len64(uint64(us)|(subBuckets-1)) - bits.Len64(subBuckets-1)
	index := shift*subBuckets/2 + int(us>>uint(shift))
	if index >= bucketCount {
		return bucketCount - 1
	}
	return index
}

func lowestOf(index int) int64 {
	if index < subBuckets {
		return int64(index)
	}
	shift := index/(subBuckets/2) - 1
	return int64(index-shift*subBuckets/2) << uint(shift)
}

func (h *histogram) record(us int64) { atomic.AddInt64(&h.counts[bucketOf(us)], 1) }

func (h *histogram) pairs() [][2]int64 {
	found := [][2]int64{}
	for index := range h.counts {
		if count := h.counts[index]; count > 0 {
			found = append(found, [2]int64{lowestOf(index), count})
		}
	}
	return found
}

// window is what is recorded between "began" and "ended".
type window struct {
	isOpen      int32
	began       time.Time
	acks        int64
	errors      int64
	lastAckNs   int64
	longestNs   int64
	longestAtNs int64
	gapLock     sync.Mutex
	latencies   histogram
	timeline    []int64
}

const timelineStep = 10 * time.Millisecond

func (w *window) acknowledged(started, ended time.Time) {
	if atomic.LoadInt32(&w.isOpen) == 0 {
		return
	}
	atomic.AddInt64(&w.acks, 1)
	w.latencies.record(ended.Sub(started).Microseconds())
	sinceBegan := ended.Sub(w.began)
	if step := int(sinceBegan / timelineStep); step >= 0 && step < len(w.timeline) {
		atomic.AddInt64(&w.timeline[step], 1)
	}
	w.noteGap(int64(sinceBegan))
}

// noteGap remembers the longest time in which nobody was answered.
func (w *window) noteGap(nowNs int64) {
	previous := atomic.SwapInt64(&w.lastAckNs, nowNs)
	if gap := nowNs - previous; gap > atomic.LoadInt64(&w.longestNs) {
		w.gapLock.Lock()
		if gap > w.longestNs {
			atomic.StoreInt64(&w.longestNs, gap)
			w.longestAtNs = previous
		}
		w.gapLock.Unlock()
	}
}

func (w *window) failed() {
	if atomic.LoadInt32(&w.isOpen) == 1 {
		atomic.AddInt64(&w.errors, 1)
	}
}

type plan struct {
	endpoints   []string
	connections int
	outstanding int
	valueBytes  int
	keys        int
	warmup      time.Duration
	duration    time.Duration
	deadline    time.Duration
	isTimeline  bool
}

func readPlan() plan {
	endpoints := flag.String("endpoints", "", "host:port,...")
	connections := flag.Int("connections", 16, "clients, each with a connection of its own")
	outstanding := flag.Int("outstanding", 256, "operations under way")
	valueBytes := flag.Int("value-bytes", 175, "")
	keys := flag.Int("keys", 1000, "distinct keys")
	warmup := flag.Float64("warmup-s", 1, "")
	seconds := flag.Float64("seconds", 6, "length of the measured window")
	deadline := flag.Float64("deadline-s", 5, "an operation unanswered for so long is an error")
	timeline := flag.Bool("timeline", false, "report answers per 10 ms")
	flag.Parse()
	return plan{
		strings.Split(*endpoints, ","), *connections, *outstanding, *valueBytes, *keys,
		secondsOf(*warmup), secondsOf(*seconds), secondsOf(*deadline), *timeline,
	}
}

func secondsOf(value float64) time.Duration { return time.Duration(value * float64(time.Second)) }

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "etcd_load:", err)
		os.Exit(3)
	}
}

func emit(fields map[string]interface{}) {
	line, err := json.Marshal(fields)
	must(err)
	fmt.Println(string(line))
}

func dial(endpoints []string) *clientv3.Client {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            endpoints,
		DialTimeout:          5 * time.Second,
		DialKeepAliveTime:    time.Second,
		DialKeepAliveTimeout: time.Second,
	})
	must(err)
	return client
}

// dialAll gives every client all endpoints; the client itself takes turns between them.
func dialAll(p plan) []*clientv3.Client {
	clients := make([]*clientv3.Client, p.connections)
	for i := range clients {
		clients[i] = dial(p.endpoints)
	}
	return clients
}

// call puts random keys one after the other until the program ends.
func call(client *clientv3.Client, p plan, w *window, seed int64) {
	random := rand.New(rand.NewSource(seed))
	value := strings.Repeat("v", p.valueBytes)
	for {
		key := fmt.Sprintf("key-%06d", random.Intn(p.keys))
		ctx, cancel := context.WithTimeout(context.Background(), p.deadline)
		started := time.Now()
		_, err := client.Put(ctx, key, value)
		cancel()
		if err == nil {
			w.acknowledged(started, time.Now())
			continue
		}
		w.failed()
		time.Sleep(2 * time.Millisecond)
	}
}

func measure(p plan, w *window) time.Duration {
	time.Sleep(p.warmup)
	w.timeline = make([]int64, int(p.duration/timelineStep)+1)
	w.began = time.Now()
	atomic.StoreInt32(&w.isOpen, 1)
	emit(map[string]interface{}{"event": "began"})
	time.Sleep(p.duration)
	atomic.StoreInt32(&w.isOpen, 0)
	length := time.Since(w.began)
	emit(map[string]interface{}{"event": "ended"})
	w.noteGap(int64(length))
	return length
}

func main() {
	p := readPlan()
	w := &window{}
	clients := dialAll(p)
	for i := 0; i < p.outstanding; i++ {
		go call(clients[i%len(clients)], p, w, int64(i))
	}
	length := measure(p, w)
	result := map[string]interface{}{
		"event":              "result",
		"operations":         atomic.LoadInt64(&w.acks),
		"errors":             atomic.LoadInt64(&w.errors),
		"seconds":            length.Seconds(),
		"latencies_us":       w.latencies.pairs(),
		"longest_gap_ms":     float64(w.longestNs) / 1e6,
		"longest_gap_from_s": float64(w.longestAtNs) / 1e9,
	}
	if p.isTimeline {
		result["answers_per_10_ms"] = w.timeline
	}
	emit(result)
}
