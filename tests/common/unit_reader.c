#include "common/unit_reader.h"

enum { RUN = 16 };

static const char *body(void *user)
{
    struct unit_reader *reader = user;
    aether_item items[RUN];
    unit_futex_trace = &reader->trace;
    if (reader->run) {
        reader->status = aether_cursor_run(reader->cursor, items, RUN, &reader->count, reader->timeout_ns);
    } else {
        reader->status = aether_cursor_next(reader->cursor, items, reader->timeout_ns);
        reader->count = reader->status == AETHER_OK;
    }
    if (reader->count > 0)
        reader->item = items[0];
    return NULL;
}

static bool start(struct unit_reader *reader, aether_cursor *cursor, int64_t timeout_ns, bool run)
{
    *reader = (struct unit_reader){.cursor = cursor, .timeout_ns = timeout_ns, .run = run};
    return unit_thread_start(&reader->thread, 0, body, reader);
}

bool unit_reader_start(struct unit_reader *reader, aether_cursor *cursor, int64_t timeout_ns)
{
    return start(reader, cursor, timeout_ns, false);
}

bool unit_reader_run(struct unit_reader *reader, aether_cursor *cursor, int64_t timeout_ns)
{
    return start(reader, cursor, timeout_ns, true);
}

static bool is_asleep(struct unit_thread *thread, struct unit_futex_trace *trace)
{
    return __atomic_load_n(&trace->passes, __ATOMIC_SEQ_CST) % 2 == 1 &&
           unit_thread_state(__atomic_load_n(&thread->tid, __ATOMIC_ACQUIRE)) == 'S';
}

bool unit_thread_sleeps(struct unit_thread *thread, struct unit_futex_trace *trace)
{
    return unit_until(is_asleep(thread, trace));
}

bool unit_reader_sleeps(struct unit_reader *reader)
{
    return unit_thread_sleeps(&reader->thread, &reader->trace);
}

bool unit_reader_sleeps_still(struct unit_reader *reader)
{
    return is_asleep(&reader->thread, &reader->trace) && __atomic_load_n(&reader->trace.passes, __ATOMIC_SEQ_CST) == 1;
}

aether_status unit_reader_join(struct unit_reader *reader)
{
    return unit_thread_join(&reader->thread) == NULL ? reader->status : UNIT_READER_STUCK;
}

bool unit_reader_put_to_sleep(struct unit_reader *reader, aether_cursor *cursor)
{
    return unit_reader_start(reader, cursor, AETHER_FOREVER) && unit_reader_sleeps(reader);
}
