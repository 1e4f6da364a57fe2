"""What is measured, and what is wanted of it: the series of bench/run.py and its table of targets."""

import os
import shutil
from dataclasses import dataclass, field

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build", "bench")
JAVA = "/usr/share/java"
PROCESSORS = len(os.sched_getaffinity(0))
BOUND_BYTES = 48 * 64 * 1024  # BENCH_BOUND_BYTES of common.h
READERS = (0, 1, 3, 10)
PAYLOADS = (8, 32, 256)
RATE = "rate_m_per_s"


@dataclass
class Series:
    """One program with its arguments, and what its rounds said."""

    group: str
    name: str
    command: list
    figures: dict  # key -> unit
    peer: str = None  # whose throughput it is
    needs: tuple = ()  # files beside the program
    items: int = None  # how many scouting begins with; None: the arguments say how many there are
    variants: tuple = ({},)  # of the arguments: scouting finds the best
    oversubscribed: bool = False  # more threads than processors
    scouted: list = field(default_factory=list)  # the variants with their rates
    config: dict = None  # as the program says it
    results: list = field(default_factory=list)  # of each round: what was measured

    def missing(self):
        """A file that it needs and that is not there, or None."""
        if not shutil.which(self.command[0]):
            return self.command[0]
        return next((path for path in self.needs if not os.path.exists(path)), None)

    def values(self, key):
        return [result[key] for result in self.results]


@dataclass
class Target:
    """What a figure should be, or its ratio to another one of the same round. Of several series the best one counts."""

    name: str
    figure: tuple  # (names of serieses, key)
    to: tuple  # the same, or None
    at_least: float = None
    at_most: float = None
    unit: str = "times"


def arguments_of(options):
    """True is an option without a value."""
    return [text for key, value in options.items()
            for text in ("--" + key.replace("_", "-"), *(() if value is True else (str(value),)))]


def program(name, **options):
    return [os.path.join(BUILD, "bench", name), "--json", *arguments_of(options)]


# ------------------------------------------------------------------------------------------------------------ throughput

def race_name(peer, readers, payload=32, batch=1):
    return f"{peer} readers={readers} batch={batch} payload={payload}"


def race(peer, readers, payload, batch, command, items=500_000, **more):
    """The series of one peer's throughput."""
    return Series(f"throughput-{readers}-{payload}", race_name(peer, readers, payload, batch), command,
                  {RATE: "M items/s"}, peer=peer, items=items, oversubscribed=readers + 1 > PROCESSORS, **more)


def rings(payload, most=65536):
    """The sizes of rings that are tried. What is unread stays within the bound that all share."""
    return [1 << n for n in range(10, 17) if (1 << n) * (payload + 8) <= BOUND_BYTES and 1 << n <= most]


def aether_series(readers, payload):
    for api in ("inline", "plain"):
        for batch in (1, 64):
            yield race(f"aether {api}", readers, payload, batch,
                       program("throughput", api=api, readers=readers, batch=batch, payload=payload))
    if readers == 1:
        yield race("aether plain run=64", readers, payload, 1,
                   program("throughput", api="plain", readers=readers, run=64, payload=payload))


def queue_series(name, readers, payload, batches=(1,), most=65536, **more):
    """A peer in C."""
    for batch in batches if readers else ():
        yield race(name, readers, payload, batch,
                   program(f"peers/{name}", readers=readers, payload=payload, batch=batch),
                   variants=[{"ring": ring} for ring in rings(payload, most)], **more)


def golist_series(readers, payload):
    yield race("golist", readers, payload, 1,
               [os.path.join(BUILD, "golist"), "--json", *arguments_of({"readers": readers, "payload": payload})],
               items=200_000)


def disruptor_waits(readers):
    """The ways to wait. Without a reader nobody does; who spins without end wants a processor of its own."""
    if readers == 0:
        return ["busy-spin"]
    return ["yielding", "blocking"] if readers + 1 > PROCESSORS else ["busy-spin", "yielding", "blocking"]


def disruptor_series(readers, payload):
    """With 32 bytes each way to wait has a row, otherwise the best one is found with the size of the ring."""
    classes, jar = os.path.join(BUILD, "disruptor"), os.path.join(JAVA, "disruptor.jar")
    waits = disruptor_waits(readers)
    rows = {f"disruptor {wait}": [wait] for wait in waits} if payload == 32 and readers else {"disruptor": waits}
    for batch in (1, 64):
        for peer, row in rows.items():
            yield race(peer, readers, payload, batch,
                       ["java", "-cp", f"{classes}:{jar}", "DisruptorPeer", "--json",
                        *arguments_of({"readers": readers, "batch": batch, "payload": payload})],
                       items=2_000_000, needs=(os.path.join(classes, "DisruptorPeer.class"), jar),
                       variants=[{"wait": wait, "ring": ring} for wait in row for ring in rings(payload)])


def yardstick_series(readers, payload, path):
    for batch in (1, 64) if payload == 32 else ():
        yield race("yardstick", readers, payload, batch, [path, str(readers), "20000000", str(batch), "100", "48"],
                   items=None)


def throughput_series(yardstick):
    for readers in READERS:
        for payload in PAYLOADS:
            yield from aether_series(readers, payload)
            if yardstick:
                yield from yardstick_series(readers, payload, yardstick)
            yield from disruptor_series(readers, payload)
            yield from queue_series("ck_ring", readers, payload)
            yield from queue_series("ck_fifo", readers, payload)
            yield from queue_series("wfcqueue", readers, payload, batches=(1, 64))
            yield from queue_series("zeromq", readers, payload, items=100_000)
            yield from queue_series("nng", readers, payload, most=8192, items=20_000)
            yield from golist_series(readers, payload)


# ------------------------------------------------------------------------------------------------------------- the others

def other_series(quick):
    for api in ("inline", "plain"):
        yield Series("syscalls", f"syscalls {api}", program("syscalls", api=api, items=10_000_000),
                     {"writer_calls": "calls"})
    yield Series("wake", "wake", program("wake", samples=500 if quick else 2000),
                 {key: "ns" for key in ("aether_p50_ns", "aether_p99_ns", "futex_p50_ns", "futex_p99_ns")})
    yield Series("crowd", "crowd", program("crowd", samples=100 if quick else 400),
                 {f"{lane}_{quantile}_ns": "ns" for lane in ("aether", "futex", "condition")
                  for quantile in ("p50", "p99", "p999")})
    for then in ("again", "stay"):
        yield Series("herd", f"herd then={then}", program("herd", then=then, rounds=5 if quick else 15),
                     {f"{who}_p50_ns": "ns" for who in ("one_inside", "many_inside", "bare_inside", "many_first",
                                                        "bare_first", "many_last", "bare_last")})
    yield Series("open_close", "open_close", program("open_close"),
                 {"idle_ns": "ns", "busy_ns": "ns", "writer_alone_m_per_s": "M items/s",
                  "writer_meanwhile_m_per_s": "M items/s"})
    yield Series("drop_chain", "drop_chain", program("drop_chain"),
                 {key: "us" for key in ("longest_before_us", "longest_after_us", "longest_any_after_us", "close_us")})
    for payload in (8, 32, 100, 1000):
        figures = {"item_bytes": "bytes"}
        if payload == 32:
            figures["empty_bytes"] = "bytes"
        yield Series("memory", f"memory payload={payload}", program("memory", payload=payload, items=500_000), figures)
    for limit in ("none", "lap", "wait", "refuse"):
        yield Series("limits", f"limit={limit}", program("throughput", limit=limit), {RATE: "M items/s"}, items=500_000)
    yield Series("stuck", "stuck", program("stuck", items=20_000_000 if quick else 100_000_000),
                 {"alone_m_per_s": "M items/s", "stuck_m_per_s": "M items/s", "resident_mib": "MiB"})
    yield Series("room", "room", program("room"), {"processor_percent": "%", "waits": "waits"})
    yield Series("epoll", "epoll", program("epoll", samples=500 if quick else 2000),
                 {key: "ns" for key in ("aether_p50_ns", "aether_p99_ns", "eventfd_p50_ns", "eventfd_p99_ns")})
    yield from match_series(quick)
    yield from bus_series(quick)
    yield from store_series(quick)


STORE_FIGURES = {"saved_per_s": "events/s", "loaded_m_per_s": "M events/s", "actor_1000_us": "us", "latest_cached_ns": "ns",
                 "latest_uncached_ns": "ns"}
LOOP_FIGURES = {"saved_per_s": "events/s", "loaded_m_per_s": "M events/s"}


def store_name(**options):
    return " ".join(["store", *(f"{key}={value}" for key, value in options.items())])


def store_series(quick):
    """The stores, and a loop on SQLite that does what ours does."""
    few, many = (5_000, 50_000) if quick else (30_000, 200_000)
    yield Series("store", store_name(store="memory"), program("store", events=10 * many), STORE_FIGURES)
    for events, options in ((few, {}), (2 * few, {"threads": 16}), (2 * few, {"threads": 64}), (many, {"batch": 100})):
        yield Series("store", store_name(store="sqlite", **options), program("store", store="sqlite", events=events, **options),
                     STORE_FIGURES)
    for events, batch in ((few, 1), (many, 100)):
        yield Series("store", f"sqlite_loop batch={batch}", program(os.path.join("peers", "sqlite"), events=events, batch=batch),
                     LOOP_FIGURES)
    yield Series("store_state", "store_state", program("store_state", events=100_000 if quick else 1_000_000),
                 {"state_ms": "ms", "replay_ms": "ms", "live_ms": "ms", "p99_alone_us": "us", "p99_with_snapshots_us": "us"})


def bus_name(**options):
    return " ".join(["publish", *(key.replace("_", "-") + ("" if value is True else f"={value}") for key, value in options.items())])


def bus_series(quick):
    """Publishing on the bus, idle subscriptions, reading."""
    items = 1_000_000 if quick else 5_000_000
    rows = [{}, {"reads": True}, {"reads": True, "by_subject": True}, {"reads": True, "publishers": 2},
            {"reads": True, "batch": 64}, {"reads": True, "batch": 64, "publishers": 2}, {"resting": 1}, {"resting": 100},
            {"resting": 1, "publishers": 2}, {"resting": 1, "publishers": 2, "churn": 10_000}]
    for row in rows:
        yield Series("publish", bus_name(**row), program("bus", items=items, **row), {RATE: "M events/s"})
    publishes = 20 if quick else 100
    for name, more in (("one", {}), ("each", {"patterns": True})):
        yield Series("bus_idle", f"bus_idle patterns={name}", program("bus_idle", publishes=publishes, **more),
                     {"publish_p50_ns": "ns", "subscription_bytes": "bytes", "topic_bytes": "bytes"})
    yield Series("bus_read", "bus_read", program("bus_read", starts=50 if quick else 200),
                 {"first_p50_ns": "ns", "snapshot_ns_per_event": "ns", "buffer_ns_per_item": "ns",
                  "one_subject_m_per_s": "M events/s", "many_subjects_m_per_s": "M events/s"})


PATTERNS = (10_000, 1_000_000)


def match_series(quick):
    figures = {"match_ns": "ns", "cached_ns": "ns", "churn_ns": "ns", "insert_ns": "ns", "pattern_bytes": "bytes"}
    run_ms = 50 if quick else 200
    for patterns in PATTERNS:
        yield Series("match", f"match patterns={patterns}", program("match", patterns=patterns, run_ms=run_ms), figures)
        path = os.path.join(BUILD, f"patterns-{patterns}")
        yield Series("match", f"natssublist patterns={patterns}",
                     [os.path.join(BUILD, "natssublist"), "--json", *arguments_of({"set": path, "run_ms": run_ms})],
                     figures, needs=(path,))


# ----------------------------------------------------------------------------------------------------------- the targets

DISRUPTOR = ("disruptor busy-spin", "disruptor yielding", "disruptor blocking")


def races(peers, *what):
    return [race_name(peer, *what) for peer in peers]


def throughput_targets():
    def target(name, of, to, at_least):
        return Target(name, (of, RATE), (to, RATE), at_least=at_least)

    inline, plain, golist, ck_ring, yardstick = ["aether inline"], ["aether plain"], ["golist"], ["ck_ring"], ["yardstick"]
    either = [*DISRUPTOR, *ck_ring]
    runs = [*races(inline, 1, 8), *races(inline, 1, 8, 64), *races(plain, 1, 8, 64), *races(["aether plain run=64"], 1, 8)]
    return [
        target("append, no reader, inline / Go list", races(inline, 0), races(golist, 0), 80),
        target("append, no reader, plain / Go list", races(plain, 0), races(golist, 0), 25),
        target("1 reader, inline / ck_ring", races(inline, 1), races(ck_ring, 1), 3.5),
        target("1 reader, plain / ck_ring", races(plain, 1), races(ck_ring, 1), 1.2),
        target("1 reader, inline / best of Disruptor, ck_ring", races(inline, 1), races(either, 1), 3.5),
        target("1 reader, plain / best of Disruptor, ck_ring", races(plain, 1), races(either, 1), 1.2),
        target("1 reader, batches of 64, inline / Disruptor", races(inline, 1, 32, 64), races(DISRUPTOR, 1, 32, 64), 1.2),
        target("1 reader, batches of 64, plain / Disruptor", races(plain, 1, 32, 64), races(DISRUPTOR, 1, 32, 64), 1.2),
        target("3 readers, inline / Disruptor", races(inline, 3), races(DISRUPTOR, 3), 2.5),
        target("10 readers, inline / Disruptor", races(inline, 10), races(DISRUPTOR, 10), 1.6),
        target("10 readers, inline / Go list", races(inline, 10), races(golist, 10), 40),
        target("1 reader, runs of 8 bytes / ck_ring", runs, races(ck_ring, 1, 8), 8),
        target("no reader, inline / yardstick", races(inline, 0), races(yardstick, 0), 0.85),
        target("1 reader, inline / yardstick", races(inline, 1), races(yardstick, 1), 0.85),
    ]


def match_targets():
    few, many = (f"match patterns={patterns}" for patterns in PATTERNS)
    sublist = f"natssublist patterns={PATTERNS[0]}"
    return [
        Target("a match that a topic has kept / subject list, cached", ([few], "cached_ns"), ([sublist], "cached_ns"),
               at_most=1),
        Target("a match among 10,000 patterns / subject list", ([few], "match_ns"), ([sublist], "match_ns"), at_most=0.333),
        Target("a match among 1,000,000 patterns / 10,000", ([many], "match_ns"), ([few], "match_ns"), at_most=5),
        Target("a match among 1,000,000 patterns", ([many], "match_ns"), None, at_most=1200, unit="ns"),
        Target("memory per pattern of 1,000,000", ([many], "pattern_bytes"), None, at_most=300, unit="bytes"),
    ]


def bus_targets():
    def rate(name, of, to=None, **bound):
        return Target(name, ([bus_name(**of)], RATE), ([bus_name(**to)], RATE) if to is not None else None, **bound)

    reads, two = {"reads": True}, {"reads": True, "publishers": 2}
    batches, two_batches = {"reads": True, "batch": 64}, {"reads": True, "batch": 64, "publishers": 2}
    resting, churn = {"resting": 1, "publishers": 2}, {"resting": 1, "publishers": 2, "churn": 10_000}
    return [
        rate("publish through a handle, nobody follows", {}, at_least=100, unit="M events/s"),
        rate("publish through a handle, 1 subscription reads", reads, at_least=30, unit="M events/s"),
        rate("publish by subject, 1 subscription reads", {**reads, "by_subject": True}, at_least=12, unit="M events/s"),
        # Peers with one writer, which are no slower than with two.
        Target("2 publishers / Disruptor", ([bus_name(**two)], RATE), (races(DISRUPTOR, 1), RATE), at_least=1),
        Target("2 publishers / ZeroMQ", ([bus_name(**two)], RATE), (races(["zeromq"], 1), RATE), at_least=2),
        Target("2 publishers / nng", ([bus_name(**two)], RATE), (races(["nng"], 1), RATE), at_least=2),
        rate("2 publishers of batches / 1", two_batches, batches, at_least=0.8),
        rate("100 subscriptions at rest / 1", {"resting": 100}, {"resting": 1}, at_least=0.83),
        rate("2 publishers while 10,000 come and go a second / without", churn, resting, at_least=0.7),
        Target("10,000 wait for one pattern, inside publish", (["bus_idle patterns=one"], "publish_p50_ns"), None,
               at_most=20_000, unit="ns"),
        Target("10,000 wait for a pattern each, inside publish", (["bus_idle patterns=each"], "publish_p50_ns"), None,
               at_most=20_000, unit="ns"),
        Target("memory per idle subscription of a pattern", (["bus_idle patterns=one"], "subscription_bytes"), None,
               at_most=512, unit="bytes"),
        Target("memory per idle pattern, with its subscription", (["bus_idle patterns=each"], "subscription_bytes"), None,
               at_most=2560, unit="bytes"),
        Target("memory per idle topic", (["bus_idle patterns=each"], "topic_bytes"), None, at_most=512, unit="bytes"),
        Target("a cached snapshot, until the first event", (["bus_read"], "first_p50_ns"), None, at_most=10_000, unit="ns"),
        Target("the same, an event / an item of a buffer", (["bus_read"], "snapshot_ns_per_event"),
               (["bus_read"], "buffer_ns_per_item"), at_most=1),
        Target("1,000 subjects in a poller / 1", (["bus_read"], "many_subjects_m_per_s"),
               (["bus_read"], "one_subject_m_per_s"), at_least=0.5),
    ]


def store_targets():
    memory, one, batches = store_name(store="memory"), store_name(store="sqlite"), store_name(store="sqlite", batch=100)
    callers = [store_name(store="sqlite", threads=threads) for threads in (16, 64)]

    def figure(name, series, key, to=None, **bound):
        return Target(name, ([series], key), to, **bound)

    return [
        figure("memory store: save", memory, "saved_per_s", at_least=3_000_000, unit="events/s"),
        figure("memory store: load", memory, "loaded_m_per_s", at_least=20, unit="M events/s"),
        figure("SQLite store: 1 caller / a loop", one, "saved_per_s", (["sqlite_loop batch=1"], "saved_per_s"), at_least=0.9),
        figure("SQLite store: batches of 100 / a loop", batches, "saved_per_s", (["sqlite_loop batch=100"], "saved_per_s"),
               at_least=0.9),
        figure("SQLite store: 16 callers / 1", callers[0], "saved_per_s", ([one], "saved_per_s"), at_least=4),
        figure("SQLite store: 64 callers / 1", callers[1], "saved_per_s", ([one], "saved_per_s"), at_least=4),
        figure("SQLite store: replay of all", batches, "loaded_m_per_s", at_least=3, unit="M events/s"),
        figure("SQLite store: one actor of 1,000 events", batches, "actor_1000_us", at_most=700, unit="us"),
        figure("latest version, cached", batches, "latest_cached_ns", at_most=60, unit="ns"),
        figure("latest version, uncached", batches, "latest_uncached_ns", at_most=10_000, unit="ns"),
        figure("state of an actor with 1,000,000 events, snapshots", "store_state", "state_ms", at_most=1, unit="ms"),
        figure("caught up: until a new event is there", "store_state", "live_ms", at_most=10, unit="ms"),
        figure("p99 of a save with snapshots / without", "store_state", "p99_with_snapshots_us",
               (["store_state"], "p99_alone_us"), at_most=1.2),
    ]


def targets():
    return throughput_targets() + bus_targets() + store_targets() + [
        Target("system calls of the writer, inline", (["syscalls inline"], "writer_calls"), None, at_most=0, unit="calls"),
        Target("system calls of the writer, plain", (["syscalls plain"], "writer_calls"), None, at_most=0, unit="calls"),
        Target("1 sleeping reader, publish until it runs / futex", (["wake"], "aether_p50_ns"),
               (["wake"], "futex_p50_ns"), at_most=1.15),
        Target("1,000 sleeping readers, inside append / 1 of them", (["herd then=again"], "many_inside_p50_ns"),
               (["herd then=again"], "one_inside_p50_ns"), at_most=5),
        Target("the last of 1,000 awake / wake-all", (["herd then=again"], "many_last_p50_ns"),
               (["herd then=again"], "bare_last_p50_ns"), at_most=1.25),
        Target("the same, while the woken stay up / wake-all", (["herd then=stay"], "many_last_p50_ns"),
               (["herd then=stay"], "bare_last_p50_ns"), at_most=1.25),
        Target("open and close a cursor, quiet", (["open_close"], "idle_ns"), None, at_most=30, unit="ns"),
        Target("open and close a cursor, busy writer", (["open_close"], "busy_ns"), None, at_most=500, unit="ns"),
        Target("longest append after a chain was dropped", (["drop_chain"], "longest_after_us"), None, at_most=100,
               unit="us"),
        Target("memory per kept item of 32 bytes", (["memory payload=32"], "item_bytes"), None, at_most=48, unit="bytes"),
        Target("memory of an empty buffer with a cursor", (["memory payload=32"], "empty_bytes"), None, at_most=2048,
               unit="bytes"),
        *(Target(f"a limit that is not reached, {limit} / none", ([f"limit={limit}"], RATE), (["limit=none"], RATE),
                 at_least=0.97) for limit in ("lap", "wait", "refuse")),
        Target("a stuck reader with 16 MiB and lap: the writer's rate", (["stuck"], "stuck_m_per_s"),
               (["stuck"], "alone_m_per_s"), at_least=0.9),
        Target("the same: resident memory above the start", (["stuck"], "resident_mib"), None, at_most=24, unit="MiB"),
        Target("a writer that waits for a slow reader", (["room"], "processor_percent"), None, at_most=1, unit="%"),
        Target("publish until an epoll loop runs / eventfd", (["epoll"], "aether_p50_ns"), (["epoll"], "eventfd_p50_ns"),
               at_most=1.15),
        *match_targets(),
    ]
