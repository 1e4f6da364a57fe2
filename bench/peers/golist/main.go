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
	step       = 1024
	smokeItems = 20000
)

// event is a payload by value: its first word is the number. Each size is compiled for itself.
type event interface {
	[1]uint64 | [4]uint64 | [32]uint64
}

// item is one entry of the list. The first one of all carries no event.
type item[E event] struct {
	event E
	next  atomic.Pointer[item[E]]
	added chan struct{} // closed when next is set
}

// list is the writer's end.
type list[E event] struct {
	newest *item[E]
}

func newItem[E event](e E) *item[E] {
	return &item[E]{event: e, added: make(chan struct{})}
}

func (l *list[E]) append(e E) {
	added := newItem(e)
	before := l.newest
	l.newest = added
	before.next.Store(added)
	close(before.added)
}

// after returns the item after i and waits for it if need be.
func after[E event](i *item[E]) *item[E] {
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

func read[E event](at *item[E], items uint64, mine *progress) {
	for read := uint64(0); read < items; {
		at = after(at)
		if at.event[0] != read+1 {
			fail("a reader wanted item %d and got %d", read+1, at.event[0])
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

func write[E event](l *list[E], items uint64, readers []progress, bound uint64) {
	for written := uint64(0); written < items; {
		for len(readers) > 0 && written+step > slowest(readers)+bound {
			runtime.Gosched()
		}
		for stop := written + step; written < stop && written < items; {
			written++
			var e E
			e[0] = written
			l.append(e)
		}
	}
}

// race sends the items to all readers, and returns how long the writer took and how long all of them.
func race[E event](readers int, items, bound uint64) (written, end time.Duration) {
	l := &list[E]{}
	var none E
	l.newest = newItem(none)
	done := make([]progress, readers)
	var ready, finished sync.WaitGroup
	start := make(chan struct{})
	for i := range done {
		ready.Add(1)
		finished.Add(1)
		go func(from *item[E], mine *progress) {
			at := from
			from = nil
			ready.Done()
			<-start
			read(at, items, mine)
			finished.Done()
		}(l.newest, &done[i])
	}
	ready.Wait()
	begin := time.Now()
	close(start)
	write(l, items, done, bound)
	written = time.Since(begin)
	finished.Wait()
	end = time.Since(begin)
	if readers == 0 {
		end = written
	}
	return written, end
}

func fail(form string, values ...any) {
	fmt.Fprintf(os.Stderr, form+"\n", values...)
	os.Exit(1)
}

func main() {
	readers := flag.Int("readers", 1, "how many readers")
	payload := flag.Uint64("payload", 32, "bytes per item: 8, 32 or 256")
	items := flag.Uint64("items", 2000000, "items to write")
	boundBytes := flag.Uint64("bound-bytes", 48*64*1024, "how much a reader may leave unread, counted as for aether")
	json := flag.Bool("json", false, "the result as a JSON object")
	smoke := flag.Bool("smoke", false, "tiny counts: does it work?")
	flag.Parse()
	if *smoke {
		*items = smokeItems
	}
	bound := *boundBytes / (*payload + 8)
	if bound < 4*step {
		bound = 4 * step
	}

	var written, end time.Duration
	switch *payload {
	case 8:
		written, end = race[[1]uint64](*readers, *items, bound)
	case 32:
		written, end = race[[4]uint64](*readers, *items, bound)
	case 256:
		written, end = race[[32]uint64](*readers, *items, bound)
	default:
		fail("--payload: 8, 32 or 256")
	}

	millions := float64(*items) / 1e6
	form := "golist readers=%d batch=1 payload=%d items=%d bound_bytes=%d: rate_m_per_s=%.1f append_rate_m_per_s=%.1f lost=0\n"
	if *json {
		form = "{\"name\": \"golist\", \"config\": {\"readers\": %d, \"batch\": 1, \"payload\": %d, \"items\": %d, \"bound_bytes\": %d}, " +
			"\"measured\": {\"rate_m_per_s\": %.3f, \"append_rate_m_per_s\": %.3f, \"lost\": 0}}\n"
	}
	fmt.Printf(form, *readers, *payload, *items, *boundBytes, millions/end.Seconds(), millions/written.Seconds())
}
