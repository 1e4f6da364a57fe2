// The peer of bench/match.c: the subject list of the NATS server, which finds the subscriptions that match a subject.
//
// It reads the set of patterns and subjects that bench/match.c writes, and measures the same: Match() of a list without a cache,
// and with its cache of 1,024 subjects, of which 512 are used; a cached match and a pattern that comes or goes in turn; Insert().
// The garbage collector runs as it likes.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"
)

const (
	topics        = 512
	churnStep     = 7919
	smokePatterns = 1000
)

type set struct {
	patterns, subjects []string
}

func fail(form string, values ...any) {
	fmt.Fprintf(os.Stderr, form+"\n", values...)
	os.Exit(1)
}

func read(path string) set {
	text, err := os.ReadFile(path)
	if err != nil {
		fail("%v", err)
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	var patterns, subjects int
	if n, _ := fmt.Sscanf(string(lines[0]), "%d %d", &patterns, &subjects); n != 2 || len(lines) != 1+patterns+subjects {
		fail("%s is no set of patterns", path)
	}
	var s set
	for i, line := range lines[1:] {
		if i < patterns {
			s.patterns = append(s.patterns, string(line))
		} else {
			s.subjects = append(s.subjects, string(line))
		}
	}
	return s
}

func subscriptions(patterns []string) []*subscription {
	all := make([]*subscription, len(patterns))
	owner := &client{kind: CLIENT}
	for i, pattern := range patterns {
		all[i] = &subscription{client: owner, subject: []byte(pattern)}
	}
	return all
}

func fill(list *Sublist, all []*subscription) {
	for i, one := range all {
		if err := list.Insert(one); err != nil {
			fail("pattern %d: %v", i, err)
		}
	}
}

// timeOf returns the nanoseconds of a call of one, over and over with count subjects.
func timeOf(run time.Duration, count int, one func(number int)) float64 {
	for i := 0; i < count; i++ {
		one(i)
	}
	calls, begin := 0, time.Now()
	for time.Since(begin) < run {
		for i := 0; i < count; i++ {
			one(i)
		}
		calls += count
	}
	return float64(time.Since(begin).Nanoseconds()) / float64(calls)
}

func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func main() {
	path := flag.String("set", "", "the file with patterns and subjects, as bench/match --write makes it")
	runMs := flag.Int("run-ms", 200, "how long each figure is measured")
	json := flag.Bool("json", false, "the result as a JSON object")
	smoke := flag.Bool("smoke", false, "tiny counts: does it work?")
	flag.Parse()
	s := read(*path)
	if *smoke {
		*runMs = 1
		if len(s.patterns) > smokePatterns {
			s.patterns = s.patterns[:smokePatterns]
			s.subjects = s.subjects[:topics]
		}
	}
	run := time.Duration(*runMs) * time.Millisecond
	all := subscriptions(s.patterns)

	before := heap()
	list := NewSublistNoCache()
	begin := time.Now()
	fill(list, all)
	insertNs := float64(time.Since(begin).Nanoseconds()) / float64(len(all))
	patternBytes := float64(heap()-before) / float64(len(all))
	lost, matches := 0, 0
	for _, subject := range s.subjects {
		found := len(list.Match(subject).psubs)
		matches += found
		if found == 0 && !*smoke { // in a smoke test it may be a pattern's that was left out
			lost++
		}
	}
	matchNs := timeOf(run, len(s.subjects), func(i int) { list.Match(s.subjects[i]) })

	list = NewSublistWithCache()
	fill(list, all)
	cachedNs := timeOf(run, topics, func(i int) { list.Match(s.subjects[i]) })
	changes := 0
	churnNs := timeOf(run, len(s.subjects), func(i int) {
		one := all[changes/2*churnStep%len(all)]
		var err error
		if changes%2 == 0 {
			err = list.Remove(one)
		} else {
			err = list.Insert(one)
		}
		if err != nil {
			fail("%s: %v", one.subject, err)
		}
		changes++
		list.Match(s.subjects[i%topics])
	})

	form := "natssublist patterns=%d subjects=%d: match_ns=%.1f cached_ns=%.1f churn_ns=%.1f insert_ns=%.1f " +
		"pattern_bytes=%.1f matches=%.1f lost=%d\n"
	if *json {
		form = "{\"name\": \"natssublist\", \"config\": {\"patterns\": %d, \"subjects\": %d}, \"measured\": {\"match_ns\": %.3f, " +
			"\"cached_ns\": %.3f, \"churn_ns\": %.3f, \"insert_ns\": %.3f, \"pattern_bytes\": %.3f, \"matches\": %.3f, \"lost\": %d}}\n"
	}
	fmt.Printf(form, len(s.patterns), len(s.subjects), matchNs, cachedNs, churnNs, insertNs, patternBytes,
		float64(matches)/float64(len(s.subjects)), lost)
}
