#include "common/unit_writer.h"

#include "common/unit_buffer.h"
#include "common/unit_reader.h"

static const char *body(void *user)
{
    struct unit_writer *writer = user;
    unit_futex_trace = &writer->trace;
    writer->status = unit_append(writer->buffer, writer->first, writer->last);
    return NULL;
}

bool unit_writer_start(struct unit_writer *writer, aether_buffer *buffer, uint64_t first, uint64_t last)
{
    *writer = (struct unit_writer){.buffer = buffer, .first = first, .last = last};
    return unit_thread_start(&writer->thread, 0, body, writer);
}

bool unit_writer_sleeps(struct unit_writer *writer)
{
    return unit_thread_sleeps(&writer->thread, &writer->trace);
}

bool unit_writer_put_to_sleep(struct unit_writer *writer, aether_buffer *buffer, uint64_t first, uint64_t last)
{
    return unit_writer_start(writer, buffer, first, last) && unit_writer_sleeps(writer);
}

bool unit_writer_sleeps_still(struct unit_writer *writer)
{
    return __atomic_load_n(&writer->trace.passes, __ATOMIC_SEQ_CST) == 1 &&
           unit_thread_state(__atomic_load_n(&writer->thread.tid, __ATOMIC_ACQUIRE)) == 'S';
}

aether_status unit_writer_join(struct unit_writer *writer)
{
    return unit_thread_join(&writer->thread) == NULL ? writer->status : UNIT_WRITER_STUCK;
}
