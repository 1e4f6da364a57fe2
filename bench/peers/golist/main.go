// The peer of bench/throughput.c: a linked list with a channel per item, the way event buffers are written in Go.
//
// The writer appends an item by storing it into its predecessor's next pointer and closing the predecessor's channel, which
// wakes whoever waits there. A reader follows next pointers, and waits on the channel of the item where there is none. The
// garbage collector keeps what a reader can still reach, and runs as it likes; goroutines are not bound to processors, since
// the runtime schedules bound ones much more slowly.
//
// What is unread is bounded in items as for aether: every reader tells its progress every 1,024 items, the writer looks as
// often.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	payloadBytes = 32
	step         = 1024
)

type event struct {
	number uint64
	rest   [payloadBytes - 8]byte
}

// item is one entry of the list. The first one of all carries no event.
type item struct {
	event event
	next  atomic.Pointer[item]
	added chan struct{} // closed when next is set
}

// list is the writer's end.
type list struct {
	newest *item
}

func newItem(e event) *item {
	return &item{event: e, added: make(chan struct{})}
}

func (l *list) append(e event) {
	added := newItem(e)
	before := l.newest
	l.newest = added
	before.next.Store(added)
	close(before.added)
}

// after returns the item after i and waits for it if need be.
func after(i *item) *item {
	next := i.next.Load()
	if next == nil {
		<-i.added
		next = i.next.Load()
	}
	return next
}

// progress is how far one reader is, in a line of its own.
type progress struct {
	done atomic.Uint64
	_    [120]byte
}

func read(at *item, items uint64, mine *progress) {
	for read := uint64(0); read < items; {
		at = after(at)
		if at.event.number != read+1 {
			fmt.Fprintf(os.Stderr, "a reader wanted item %d and got %d\n", read+1, at.event.number)
			os.Exit(1)
		}
		read++
		if read%step == 0 {
			mine.done.Store(read)
		}
	}
}

func slowest(readers []progress) uint64 {
	least := ^uint64(0)
	for i := range readers {
		if done := readers[i].done.Load(); done < least {
			least = done
		}
	}
	return least
}

func write(l *list, items uint64, readers []progress, bound uint64) {
	for written := uint64(0); written < items; {
		for len(readers) > 0 && written+step > slowest(readers)+bound {
			runtime.Gosched()
		}
		for stop := written + step; written < stop && written < items; {
			written++
			l.append(event{number: written})
		}
	}
}

func main() {
	readers := flag.Int("readers", 1, "how many readers")
	items := flag.Uint64("items", 2000000, "items to write")
	boundBytes := flag.Uint64("bound-bytes", 48*64*1024, "how much a reader may leave unread, counted as for aether")
	json := flag.Bool("json", false, "the result as a JSON object")
	smoke := flag.Bool("smoke", false, "tiny counts: does it work?")
	flag.Parse()
	if *smoke {
		*items = 20000
	}
	bound := *boundBytes / (payloadBytes + 8)
	if bound < 4*step {
		bound = 4 * step
	}

	l := &list{newest: newItem(event{})}
	done := make([]progress, *readers)
	var ready, finished sync.WaitGroup
	start := make(chan struct{})
	for i := range done {
		ready.Add(1)
		finished.Add(1)
		go func(from *item, mine *progress) {
			at := from
			from = nil
			ready.Done()
			<-start
			read(at, *items, mine)
			finished.Done()
		}(l.newest, &done[i])
	}
	ready.Wait()
	begin := time.Now()
	close(start)
	write(l, *items, done, bound)
	written := time.Since(begin)
	finished.Wait()
	end := time.Since(begin)
	if len(done) == 0 {
		end = written
	}

	millions := float64(*items) / 1e6
	form := "golist readers=%d batch=1 payload=%d items=%d bound_bytes=%d: rate_m_per_s=%.1f append_rate_m_per_s=%.1f lost=0\n"
	if *json {
		form = "{\"name\": \"golist\", \"config\": {\"readers\": %d, \"batch\": 1, \"payload\": %d, \"items\": %d, \"bound_bytes\": %d}, " +
			"\"measured\": {\"rate_m_per_s\": %.3f, \"append_rate_m_per_s\": %.3f, \"lost\": 0}}\n"
	}
	fmt.Printf(form, len(done), payloadBytes, *items, *boundBytes, millions/end.Seconds(), millions/written.Seconds())
}
