// Package closed_loop is what the load generators in Go share: what they are asked for, what they note down while the
// window is open, and what they report.
//
// It speaks the protocol of all load generators here (bench/load/window.py): options on the command line, JSON lines
// on stdout: "began" when the measured window opens, "ended" when it closes, and one "result".
package closed_loop

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
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

// Window is what is recorded between "began" and "ended".
type Window struct {
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

// Acknowledged records an operation that was begun at started and answered at ended.
func (w *Window) Acknowledged(started, ended time.Time) {
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
func (w *Window) noteGap(nowNs int64) {
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

// Failed records an operation that ended without its answer.
func (w *Window) Failed() {
	if atomic.LoadInt32(&w.isOpen) == 1 {
		atomic.AddInt64(&w.errors, 1)
	}
}

// Plan is what a load generator is asked to do.
type Plan struct {
	Endpoints   []string
	Connections int
	Outstanding int
	ValueBytes  int
	Keys        int
	Warmup      time.Duration
	Duration    time.Duration
	Deadline    time.Duration
	IsTimeline  bool
	Replicas    int
	IsPrepare   bool
}

// FailurePause is how long a caller waits after a failure before it calls again.
const FailurePause = 2 * time.Millisecond

// ReadPlan reads the command line.
func ReadPlan() Plan {
	endpoints := flag.String("endpoints", "", "host:port,...")
	connections := flag.Int("connections", 16, "clients, each with a connection of its own")
	outstanding := flag.Int("outstanding", 256, "operations under way")
	valueBytes := flag.Int("value-bytes", 175, "")
	keys := flag.Int("keys", 1000, "distinct keys")
	warmup := flag.Float64("warmup-s", 1, "")
	seconds := flag.Float64("seconds", 6, "length of the measured window")
	deadline := flag.Float64("deadline-s", 5, "an operation unanswered for so long is an error")
	timeline := flag.Bool("timeline", false, "report answers per 10 ms")
	replicas := flag.Int("replicas", 3, "copies of what is made with -prepare")
	prepare := flag.Bool("prepare", false, "make what the puts go into, and end")
	flag.Parse()
	return Plan{
		strings.Split(*endpoints, ","), *connections, *outstanding, *valueBytes, *keys,
		secondsOf(*warmup), secondsOf(*seconds), secondsOf(*deadline), *timeline, *replicas, *prepare,
	}
}

func secondsOf(value float64) time.Duration { return time.Duration(value * float64(time.Second)) }

// Value is what every put writes.
func (p Plan) Value() string { return strings.Repeat("v", p.ValueBytes) }

// Must ends the program if there is an error.
func Must(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
		os.Exit(3)
	}
}

func emit(fields map[string]interface{}) {
	line, err := json.Marshal(fields)
	Must(err)
	fmt.Println(string(line))
}

// Measure lets the callers, who are running, warm up, opens the window, closes it, and reports.
func (w *Window) Measure(p Plan) {
	time.Sleep(p.Warmup)
	w.timeline = make([]int64, int(p.Duration/timelineStep)+1)
	w.began = time.Now()
	atomic.StoreInt32(&w.isOpen, 1)
	emit(map[string]interface{}{"event": "began"})
	time.Sleep(p.Duration)
	atomic.StoreInt32(&w.isOpen, 0)
	length := time.Since(w.began)
	emit(map[string]interface{}{"event": "ended"})
	w.noteGap(int64(length))
	result := map[string]interface{}{
		"event":              "result",
		"operations":         atomic.LoadInt64(&w.acks),
		"errors":             atomic.LoadInt64(&w.errors),
		"seconds":            length.Seconds(),
		"latencies_us":       w.latencies.pairs(),
		"longest_gap_ms":     float64(w.longestNs) / 1e6,
		"longest_gap_from_s": float64(w.longestAtNs) / 1e9,
	}
	if p.IsTimeline {
		result["answers_per_10_ms"] = w.timeline
	}
	emit(result)
}
