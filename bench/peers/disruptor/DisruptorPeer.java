import com.lmax.disruptor.BatchEventProcessor;
import com.lmax.disruptor.BlockingWaitStrategy;
import com.lmax.disruptor.BusySpinWaitStrategy;
import com.lmax.disruptor.EventFactory;
import com.lmax.disruptor.EventHandler;
import com.lmax.disruptor.FatalExceptionHandler;
import com.lmax.disruptor.RingBuffer;
import com.lmax.disruptor.WaitStrategy;
import com.lmax.disruptor.YieldingWaitStrategy;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.CyclicBarrier;

/**
 * The peer of bench/throughput.c: the LMAX Disruptor with one producer and a BatchEventProcessor, on a thread of its own, for
 * each reader.
 *
 * <p>The payload is copied into the preallocated entries of the ring: 8 and 32 bytes are long fields of the entry, 256 bytes
 * are such a field, the number, and an array of 31 longs. Readers look at the number where it stands. With --batch the
 * producer claims that many entries and publishes them together: next(n), publish(lo, hi). What is unread is bounded by the
 * ring; a producer that finds it full waits the way the Disruptor does. With no reader nothing holds the producer back.
 *
 * <p>The compiler of the virtual machine is given passes with fewer items and rings of their own first, until --warmup-ms are
 * over; what is measured is the one after them. With at most one reader the producer runs on processor 0 and the reader on
 * processor 1, as for aether: taskset binds them, under the ids that /proc/thread-self tells.
 */
public final class DisruptorPeer {
    private static final int BLOCK = 64; // events are numbered a block ahead, as for aether
    private static final int WARMUP_ITEMS = 200_000;
    private static final int BOUND_BYTES = 48 * 64 * 1024;

    // ------------------------------------------------------------------------------------------------------- the events

    /** An entry of the ring, or what the producer copies into one. */
    private abstract static class Event {
        long number;

        abstract void set(Event from);
    }

    private static final class Event8 extends Event {
        @Override
        void set(Event from) {
            number = from.number;
        }
    }

    private static final class Event32 extends Event {
        long b;
        long c;
        long d;

        @Override
        void set(Event from) {
            Event32 other = (Event32) from;
            number = other.number;
            b = other.b;
            c = other.c;
            d = other.d;
        }
    }

    private static final class Event256 extends Event {
        final long[] rest = new long[31];

        @Override
        void set(Event from) {
            number = from.number;
            System.arraycopy(((Event256) from).rest, 0, rest, 0, rest.length);
        }
    }

    private static EventFactory<Event> factory(int payload) {
        return switch (payload) {
            case 8 -> Event8::new;
            case 32 -> Event32::new;
            case 256 -> Event256::new;
            default -> throw fail("--payload: 8, 32 or 256");
        };
    }

    private static WaitStrategy strategy(String wait) {
        return switch (wait) {
            case "busy-spin" -> new BusySpinWaitStrategy();
            case "yielding" -> new YieldingWaitStrategy();
            case "blocking" -> new BlockingWaitStrategy();
            default -> throw fail("--wait: busy-spin, yielding or blocking");
        };
    }

    // ----------------------------------------------------------------------------------------------------------- a pass

    /** Checks the number of every item, and ends its processor after the last one. */
    private static final class Reader implements EventHandler<Event> {
        final long items;
        BatchEventProcessor<Event> processor;
        long read; // items that carried the number that was due
        long endNs;

        Reader(long items) {
            this.items = items;
        }

        @Override
        public void onEvent(Event event, long sequence, boolean endOfBatch) {
            if (event.number != read + 1) {
                throw fail("a reader wanted item " + (read + 1) + " and got " + event.number);
            }
            if (++read == items) {
                endNs = System.nanoTime();
                processor.halt();
            }
        }
    }

    /** All items once through a new ring. */
    private static final class Pass {
        final Options options;
        final long items;
        final RingBuffer<Event> ring;
        final Event[] events = new Event[BLOCK];
        final CyclicBarrier start;
        long writtenNs; // from the first item's claim to the last one's publication
        long readNs; // and to the last reader's last item
        long lost;

        Pass(Options options, long items) {
            this.options = options;
            this.items = items;
            EventFactory<Event> factory = factory(options.payload);
            ring = RingBuffer.createSingleProducer(factory, options.ring, strategy(options.wait));
            Arrays.setAll(events, i -> factory.newInstance());
            start = new CyclicBarrier(options.readers + 1);
        }

        Pass run() throws InterruptedException {
            Reader[] readers = new Reader[options.readers];
            Thread[] threads = new Thread[options.readers];
            for (int i = 0; i < options.readers; i++) {
                readers[i] = new Reader(items);
                threads[i] = new Thread(processing(readers[i]));
                threads[i].start();
            }
            await();
            long begin = System.nanoTime();
            write();
            long written = System.nanoTime();
            long end = written;
            lost = items - (ring.getCursor() + 1);
            for (int i = 0; i < options.readers; i++) {
                threads[i].join();
                lost += items - readers[i].read;
                end = Math.max(end, readers[i].endNs);
            }
            writtenNs = written - begin;
            readNs = end - begin;
            return this;
        }

        private Runnable processing(Reader reader) {
            BatchEventProcessor<Event> processor = new BatchEventProcessor<>(ring, ring.newBarrier(), reader);
            processor.setExceptionHandler(new FatalExceptionHandler());
            ring.addGatingSequences(processor.getSequence());
            reader.processor = processor;
            return () -> {
                if (options.readers == 1) {
                    pin(1);
                }
                await();
                processor.run();
            };
        }

        private void await() {
            try {
                start.await();
            } catch (Exception why) {
                throw fail("the start: " + why);
            }
        }

        private void write() {
            for (long written = 0; written < items;) {
                int count = (int) Math.min(items - written, BLOCK);
                for (int i = 0; i < count; i++) {
                    events[i].number = ++written;
                }
                if (options.batch == 1) {
                    publishEach(count);
                } else {
                    publishBatches(count);
                }
            }
        }

        private void publishEach(int count) {
            for (int i = 0; i < count; i++) {
                long sequence = ring.next();
                ring.get(sequence).set(events[i]);
                ring.publish(sequence);
            }
        }

        private void publishBatches(int count) {
            for (int done = 0; done < count;) {
                int some = Math.min(options.batch, count - done);
                long last = ring.next(some);
                long first = last - some + 1;
                for (long sequence = first; sequence <= last; sequence++) {
                    ring.get(sequence).set(events[done++]);
                }
                ring.publish(first, last);
            }
        }
    }

    // ---------------------------------------------------------------------------------------------------------- options

    private static final class Options {
        int readers = 1;
        int batch = 1;
        int payload = 32;
        int ring = 4096;
        long items = 20_000_000;
        long warmupMs = 300;
        String wait = "yielding";
        boolean json;

        Options(String[] arguments) {
            boolean smoke = false;
            for (int i = 0; i < arguments.length; i++) {
                if (arguments[i].equals("--json")) {
                    json = true;
                } else if (arguments[i].equals("--smoke")) {
                    smoke = true;
                } else if (i + 1 < arguments.length) {
                    set(arguments[i], arguments[++i]);
                } else {
                    throw fail(arguments[i] + " is no option, or wants a value");
                }
            }
            if (smoke) {
                items = 20_000;
                warmupMs = 0;
            }
            if (readers < 0 || batch < 1 || batch > BLOCK || items < 1 || ring < BLOCK || Integer.bitCount(ring) != 1) {
                throw fail("--readers, --batch, --ring or --items is out of its range");
            }
            if ((long) ring * (payload + 8) > BOUND_BYTES) {
                throw fail("--ring: that many items are more than " + BOUND_BYTES + " bytes");
            }
        }

        private void set(String option, String value) {
            switch (option) {
                case "--readers" -> readers = Integer.parseInt(value);
                case "--batch" -> batch = Integer.parseInt(value);
                case "--payload" -> payload = Integer.parseInt(value);
                case "--ring" -> ring = Integer.parseInt(value);
                case "--items" -> items = Long.parseLong(value);
                case "--warmup-ms" -> warmupMs = Long.parseLong(value);
                case "--wait" -> wait = value;
                default -> throw fail(option + ": no such option");
            }
        }
    }

    // ------------------------------------------------------------------------------------------------------------- main

    /** Says what went wrong and ends the program, whatever its threads wait for. */
    private static Error fail(String what) {
        System.err.println(what);
        Runtime.getRuntime().halt(1);
        return new Error(what);
    }

    /** Keeps the calling thread on one processor. Where there is no such processor nothing happens. */
    private static void pin(int processor) {
        try {
            Path self = Files.readSymbolicLink(Path.of("/proc/thread-self"));
            new ProcessBuilder("taskset", "-p", "-c", Integer.toString(processor), self.getFileName().toString())
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD).redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start().waitFor();
        } catch (IOException | InterruptedException why) {
            throw fail("taskset: " + why);
        }
    }

    private static void print(Options options, Pass pass) {
        String form = options.json
                ? "{\"name\": \"disruptor\", \"config\": {\"wait\": \"%s\", \"readers\": %d, \"batch\": %d, \"payload\": %d, "
                        + "\"items\": %d, \"ring\": %d}, \"measured\": {\"rate_m_per_s\": %.3f, "
                        + "\"append_rate_m_per_s\": %.3f, \"lost\": %d}}%n"
                : "disruptor wait=%s readers=%d batch=%d payload=%d items=%d ring=%d: rate_m_per_s=%.1f "
                        + "append_rate_m_per_s=%.1f lost=%d%n";
        System.out.printf(form, options.wait, options.readers, options.batch, options.payload, options.items, options.ring,
                options.items * 1e3 / pass.readNs, options.items * 1e3 / pass.writtenNs, pass.lost);
    }

    public static void main(String[] arguments) throws InterruptedException {
        Options options = new Options(arguments);
        if (options.readers <= 1) {
            pin(0);
        }
        long warm = System.nanoTime() + options.warmupMs * 1_000_000;
        while (System.nanoTime() < warm) {
            new Pass(options, Math.min(options.items, WARMUP_ITEMS)).run();
        }
        Pass pass = new Pass(options, options.items).run();
        print(options, pass);
        System.exit(pass.lost == 0 ? 0 : 1);
    }
}
