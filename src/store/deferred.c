/* Saves that a thread makes later, one after another: each is decided when its turn comes, and each is told about once (R8).
 */
#include <pthread.h>

#include "base/allocator.h"
#include "base/fail.h"
#include "store/retry.h"
#include "store/store.h"

enum { ROOM = 1024 };

struct item {
    struct item *next;
    aether_decide_fn decide;
    aether_deferred_fn done;
    void *user;
    size_t size; /* of the name with its NUL */
    char actor[];
};

struct aether_deferred {
    aether_store *store;
    aether_retry_policy policy;
    size_t room, count;
    struct item *first, *last;
    pthread_mutex_t lock; /* of all above but the policy */
    pthread_cond_t changed;
    pthread_t thread;
    bool is_running, is_closed, drains;
};

static void free_item(const aether_deferred *deferred, struct item *item)
{
    ae_free(&deferred->store->allocator, item, sizeof *item + item->size, _Alignof(struct item));
}

static void finish(const aether_deferred *deferred, struct item *item, aether_status status,
                   const aether_retry_outcome *outcome)
{
    if (item->done != NULL)
        item->done(status, outcome, item->user);
    free_item(deferred, item);
}

static struct item *take(aether_deferred *deferred)
{
    struct item *item = deferred->first;
    if (item == NULL)
        return NULL;
    deferred->first = item->next;
    if (deferred->first == NULL)
        deferred->last = NULL;
    deferred->count--;
    return item;
}

static void *body(void *user)
{
    aether_deferred *deferred = user;
    pthread_mutex_lock(&deferred->lock);
    for (;;) {
        while (deferred->first == NULL && !deferred->is_closed)
            pthread_cond_wait(&deferred->changed, &deferred->lock);
        if (deferred->is_closed && (!deferred->drains || deferred->first == NULL))
            break;
        struct item *item = take(deferred);
        pthread_mutex_unlock(&deferred->lock);
        aether_retry_outcome outcome;
        aether_status status =
            aether_retry_save(deferred->store, item->actor, &deferred->policy, item->decide, item->user, &outcome);
        finish(deferred, item, status, &outcome);
        pthread_mutex_lock(&deferred->lock);
    }
    pthread_mutex_unlock(&deferred->lock);
    return NULL;
}

aether_deferred *aether_deferred_create_sized(aether_store *store, size_t room, const aether_retry_policy *policy,
                                              size_t policy_size)
{
    static const char call[] = "aether_deferred_create";
    if (ae_store_refuse_writing(store, call) != AETHER_OK)
        return NULL;
    aether_deferred *deferred = ae_alloc(&store->allocator, sizeof *deferred, _Alignof(aether_deferred));
    if (deferred == NULL) {
        (void)ae_fail(AETHER_NO_MEMORY, "%s: no memory", call);
        return NULL;
    }
    *deferred = (aether_deferred){.store = store, .room = room != 0 ? room : ROOM};
    if (policy != NULL)
        memcpy(&deferred->policy, policy, policy_size < sizeof deferred->policy ? policy_size : sizeof deferred->policy);
    pthread_mutex_init(&deferred->lock, NULL);
    pthread_cond_init(&deferred->changed, NULL);
    return deferred;
}

/* Under the lock. */
static aether_status add(aether_deferred *deferred, struct item *item, const char *call)
{
    if (deferred->count == deferred->room)
        return ae_fail(AETHER_FULL, "%s: %zu saves wait, no more are taken", call, deferred->room);
    if (!deferred->is_running) {
        aether_status status = ae_store_thread(&deferred->thread, body, deferred, "aether-deferred");
        if (status != AETHER_OK)
            return status;
        deferred->is_running = true;
    }
    item->next = NULL;
    *(deferred->last != NULL ? &deferred->last->next : &deferred->first) = item;
    deferred->last = item;
    deferred->count++;
    pthread_cond_signal(&deferred->changed);
    return AETHER_OK;
}

aether_status aether_deferred_save(aether_deferred *deferred, const char *actor, aether_decide_fn decide,
                                   aether_deferred_fn done, void *user)
{
    static const char call[] = "aether_deferred_save";
    if (deferred == NULL || decide == NULL)
        return ae_fail(AETHER_INVALID, "%s: %s is NULL", call, deferred == NULL ? "the queue" : "decide");
    aether_text name = aether_text_of(actor);
    aether_status status = ae_store_refuse(deferred->store, call);
    if (status == AETHER_OK)
        status = ae_name_check(name.data, name.size, "actor", call);
    if (status != AETHER_OK)
        return status;
    struct item *item = ae_alloc(&deferred->store->allocator, sizeof *item + name.size + 1, _Alignof(struct item));
    if (item == NULL)
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory", call);
    *item = (struct item){.decide = decide, .done = done, .user = user, .size = name.size + 1};
    memcpy(item->actor, name.data, name.size + 1);
    pthread_mutex_lock(&deferred->lock);
    status = add(deferred, item, call);
    pthread_mutex_unlock(&deferred->lock);
    if (status != AETHER_OK)
        free_item(deferred, item);
    return status;
}

void aether_deferred_close(aether_deferred *deferred, bool drain)
{
    if (deferred == NULL || ae_store_refuse(deferred->store, "aether_deferred_close") != AETHER_OK)
        return;
    pthread_mutex_lock(&deferred->lock);
    deferred->is_closed = true;
    deferred->drains = drain;
    pthread_cond_broadcast(&deferred->changed);
    pthread_mutex_unlock(&deferred->lock);
    if (deferred->is_running)
        pthread_join(deferred->thread, NULL);
    static const aether_retry_outcome none;
    for (struct item *item; (item = take(deferred)) != NULL;)
        finish(deferred, item, AETHER_SHUT_DOWN, &none);
    pthread_cond_destroy(&deferred->changed);
    pthread_mutex_destroy(&deferred->lock);
    ae_free(&deferred->store->allocator, deferred, sizeof *deferred, _Alignof(aether_deferred));
}
