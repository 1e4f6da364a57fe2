#include "common/unit_release.h"

#include <string.h>

#include "common/unit_buffer.h"

static void release_it(void *data, size_t size, void *user)
{
    struct unit_release *release = user;
    if (data != release->bytes || size != release->size || !unit_is_filled(data, size, release->seed))
        __atomic_add_fetch(&release->wrong, 1, __ATOMIC_SEQ_CST);
    release->thread = pthread_self();
    if (release->hook != NULL)
        release->hook(release);
    memset(data, 0xdd, size); /* it is the program's again: who reads it still is found out */
    __atomic_add_fetch(&release->calls, 1, __ATOMIC_SEQ_CST);
}

aether_payload unit_by_reference(struct unit_release *release, size_t size, uint64_t seed)
{
    release->size = size;
    release->seed = seed;
    unit_fill(release->bytes, size, seed);
    return (aether_payload){.data = release->bytes, .size = size, .release = release_it, .user = release};
}

bool unit_is_reference(const aether_item *item, const struct unit_release *release)
{
    return item->data == release->bytes && item->size == release->size &&
           unit_is_filled(item->data, item->size, release->seed);
}

int unit_releases(const struct unit_release *release)
{
    if (__atomic_load_n(&release->wrong, __ATOMIC_SEQ_CST) != 0)
        return -1;
    return (int)__atomic_load_n(&release->calls, __ATOMIC_SEQ_CST);
}

aether_status unit_append_reference(aether_buffer *buffer, struct unit_release *release, size_t size, uint64_t seed)
{
    aether_payload payload = unit_by_reference(release, size, seed);
    return aether_append_batch(buffer, &payload, 1);
}
