/* After fork(): inherited handles answer, and do nothing; what the child makes itself works; the parent goes on. */
#include "common/unit.h"

#include <signal.h>
#include <unistd.h>

#include "base/rcu.h"
#include "base/sanitizer.h"
#include "common/unit_child.h"

struct family {
    aether_buffer *buffer;
    aether_cursor *cursor;
};

static bool is_forked(aether_status status)
{
    return status == AETHER_FORKED && aether_error_status() == AETHER_FORKED &&
           strstr(aether_error(), "before fork()") != NULL;
}

static bool is_position_0(aether_position position)
{
    return position.epoch == 0 && position.index == 0 && is_forked(aether_error_status());
}

static const char *use_inherited_buffer(void *user)
{
    aether_buffer *buffer = ((struct family *)user)->buffer;
    aether_payload one = {.data = "x", .size = 1};
    aether_buffer_stats stats;
    claim(is_forked(aether_append(buffer, "x", 1)));
    claim(is_forked(aether_append_at(buffer, 1000, "x", 1)));
    claim(is_forked(aether_append_batch(buffer, &one, 1)));
    claim(is_forked(aether_append_batch(buffer, NULL, 0)));
    claim(is_forked(aether_inline_append(buffer, "x", 1)));
    claim(is_forked(aether_buffer_end(buffer, AETHER_OK)));
    claim(is_forked(aether_buffer_get_stats(buffer, &stats)));
    claim(aether_cursor_open(buffer, AETHER_FROM_NEXT) == NULL && is_forked(aether_error_status()));
    claim(is_position_0(aether_buffer_newest(buffer)));
    void *data;
    claim(is_forked(aether_append_array(buffer, "x", 1, 1)));
    claim(is_forked(aether_reserve(buffer, 1, &data)));
    claim(is_forked(aether_commit(buffer, 0)));
    claim(is_forked(aether_abandon(buffer)));
    claim(is_forked(aether_buffer_trim(buffer)));
    claim(is_forked(aether_buffer_set_wait(buffer, 1)));
    claim(is_forked(aether_buffer_resume(buffer)));
    claim(aether_cursor_open_with(buffer, &(aether_cursor_options){.label = "x"}) == NULL);
    claim(is_forked(aether_error_status()));
    aether_range range = aether_buffer_range(buffer);
    claim(range.epoch == 0 && range.floor == 0 && range.newest == 0 && is_forked(aether_error_status()));
    return NULL;
}

static const char *use_inherited_cursor(void *user)
{
    aether_cursor *cursor = ((struct family *)user)->cursor;
    aether_item item;
    size_t count = 7;
    claim(is_forked(aether_cursor_next(cursor, &item, AETHER_FOREVER)));
    claim(is_forked(aether_cursor_run(cursor, &item, 1, &count, AETHER_FOREVER)) && count == 0);
    claim(is_forked(aether_cursor_resume(cursor)));
    claim(aether_cursor_dup(cursor) == NULL && is_forked(aether_error_status()));
    claim(is_position_0(aether_cursor_position(cursor)));
    aether_cursor_stats stats;
    claim(is_forked(aether_cursor_get_stats(cursor, &stats)));
    aether_buffer *own = unit_buffer();
    claim(is_forked(aether_buffer_splice(own, cursor)));
    claim(unit_append(own, 1, 1) == AETHER_OK); /* nothing was spliced */
    aether_cursor *at = unit_open(own, AETHER_FROM_NEXT);
    claim(is_forked(aether_buffer_splice(((struct family *)user)->buffer, at)));
    aether_cursor_close(at);
    aether_buffer_destroy(own);
    return NULL;
}

/* Several times over: they are no-ops, so nothing is freed. */
static const char *give_up_inherited(void *user)
{
    struct family *family = user;
    uint64_t blocks = unit_memory().blocks;
    for (int again = 0; again < 3; again++) {
        aether_cursor_cancel(family->cursor);
        aether_buffer_cancel(family->buffer);
        aether_cursor_close(family->cursor);
        aether_buffer_destroy(family->buffer);
    }
    claim(unit_memory().blocks == blocks && unit_memory().misuses == 0);
    claim(is_forked(aether_append(family->buffer, "x", 1)));
    return NULL;
}

static struct family make_family(void)
{
    struct family family = {.buffer = unit_buffer()};
    unit_allow_inline(family.buffer);
    family.cursor = unit_open(family.buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(family.buffer, 1, 500));
    expect_items(family.cursor, 1, 100);
    return family;
}

/* The parent's handles are as good as ever. */
static void go_on_and_end(struct family *family)
{
    expect_items(family->cursor, 101, 500);
    expect_ok(unit_append(family->buffer, 501, 1000));
    expect_items(family->cursor, 501, 1000);
    expect_empty(family->cursor);
    ae_buffer_check(family->buffer);
    aether_cursor_close(family->cursor);
    aether_buffer_destroy(family->buffer);
}

TEST(buffer_fork, D5_every_call_refuses_an_inherited_buffer)
{
    struct family family = make_family();
    expect_fine(unit_child(use_inherited_buffer, &family));
    go_on_and_end(&family);
}

TEST(buffer_fork, D5_every_call_refuses_an_inherited_cursor)
{
    struct family family = make_family();
    expect_fine(unit_child(use_inherited_cursor, &family));
    go_on_and_end(&family);
}

TEST(buffer_fork, D5_destroying_and_closing_what_was_inherited_does_nothing)
{
    struct family family = make_family();
    expect_fine(unit_child(give_up_inherited, &family));
    go_on_and_end(&family);
}

static int released_here;

static void count_release(void *data, size_t size, void *user)
{
    (void)data, (void)size, (void)user;
    released_here++;
}

static const char *give_up_references(void *user)
{
    struct family *family = user;
    aether_cursor_close(family->cursor);
    aether_buffer_destroy(family->buffer);
    claim(released_here == 0); /* the payload is in the child, too, but the parent's to release */
    return NULL;
}

TEST(buffer_fork, D5_a_child_releases_nothing_that_it_inherited)
{
    static char large[1000];
    aether_payload payload = {.data = large, .size = sizeof large, .release = count_release};
    struct family family = {.buffer = unit_buffer()};
    family.cursor = unit_open(family.buffer, AETHER_FROM_NEXT);
    expect_ok(aether_append_batch(family.buffer, &payload, 1));
    expect_fine(unit_child(give_up_references, &family));
    aether_cursor_close(family.cursor);
    aether_buffer_destroy(family.buffer);
    expect_number(1, released_here);
}

static const char *commit_inherited(void *user)
{
    claim(is_forked(aether_commit(user, 3)) && is_forked(aether_abandon(user)));
    aether_buffer_destroy(user);
    return NULL;
}

TEST(buffer_fork, D5_a_reservation_stays_the_parent_s)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    void *data;
    expect_ok(aether_reserve(buffer, unit_size(1), &data));
    unit_fill(data, unit_size(1), 1);
    expect_fine(unit_child(commit_inherited, buffer));
    expect_ok(aether_commit(buffer, unit_size(1)));
    expect_items(cursor, 1, 1);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* ---------------------------------------------------------------------------------------------- what the child makes */

static const char *live(void *user)
{
    (void)user;
    aether_buffer *buffer = unit_buffer();
    unit_allow_inline(buffer);
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT), *slow = unit_open(buffer, AETHER_FROM_NEXT);
    claim(unit_append(buffer, 1, 5000) == AETHER_OK);
    claim(unit_read(cursor, 1, 5000) == NULL);
    aether_cursor_close(slow); /* a long chain, through the child's own worker */
    for (uint64_t i = 5001; i <= 5020; i++) {
        struct unit_reader reader;
        claim(unit_reader_put_to_sleep(&reader, cursor));
        claim(unit_append(buffer, i, i) == AETHER_OK);
        claim(unit_reader_join(&reader) == AETHER_OK && unit_is_item(&reader.item, i));
    }
    struct unit_reader reader;
    claim(unit_reader_put_to_sleep(&reader, cursor));
    aether_cursor_cancel(cursor);
    claim(unit_reader_join(&reader) == AETHER_CANCELLED && aether_cursor_resume(cursor) == AETHER_OK);
    claim(unit_reader_put_to_sleep(&reader, cursor));
    aether_cursor_close(cursor);
    claim(unit_reader_join(&reader) == AETHER_CLOSED);
    ae_buffer_check(buffer);
    aether_buffer_destroy(buffer);
    ae_rcu_barrier();
    return NULL;
}

TEST_ALL_WAYS(buffer_fork, D5_a_child_lives_with_buffers_of_its_own)
{
    struct family family = make_family();
    expect_fine(unit_child(live, NULL));
    go_on_and_end(&family);
    expect_fine(live(NULL));
}

TEST(buffer_fork, D5_a_child_may_be_the_first_to_use_the_library)
{
    expect_fine(unit_child(live, NULL));
    expect_fine(live(NULL));
}

static const char *have_a_child(void *user)
{
    struct family own = {.buffer = unit_buffer()};
    own.cursor = unit_open(own.buffer, AETHER_FROM_NEXT);
    const char *wrong = unit_child(use_inherited_buffer, &own);
    wrong = wrong != NULL ? wrong : unit_child(use_inherited_buffer, user);
    wrong = wrong != NULL ? wrong : unit_child(live, NULL);
    if (wrong != NULL)
        return wrong;
    claim(unit_append(own.buffer, 1, 100) == AETHER_OK && unit_read(own.cursor, 1, 100) == NULL);
    aether_cursor_close(own.cursor);
    aether_buffer_destroy(own.buffer);
    return NULL;
}

TEST(buffer_fork, D5_a_child_may_have_children)
{
    struct family family = make_family();
    expect_fine(unit_child(have_a_child, &family));
    go_on_and_end(&family);
}

TEST(buffer_fork, D5_a_child_lives_although_the_parent_s_worker_was_busy)
{
    if (unit_is_in_qemu())
        cr_skip_test("qemu cannot do that");
    struct family family = make_family();
    for (int round = 0; round < 5; round++) {
        aether_cursor *slow = unit_open(family.buffer, AETHER_FROM_NEXT);
        uint64_t newest = aether_buffer_newest(family.buffer).index;
        expect_ok(unit_append(family.buffer, newest + 1, newest + 2000));
        aether_cursor_close(slow);
        expect_items(family.cursor, round == 0 ? 101 : newest + 1, newest + 2000);
        aether_cursor *behind = aether_cursor_dup(family.cursor);
        aether_cursor_close(behind);
        expect_fine(unit_child(live, NULL)); /* the grace period of the chain may not be over */
    }
    aether_cursor_close(family.cursor);
    aether_buffer_destroy(family.buffer);
}

/* -------------------------------------------------------------------------------------------- the parent has threads */

static const char *only_append(void *user)
{
    struct family *family = user;
    claim(is_forked(aether_append(family->buffer, "x", 1)));
    return live(NULL);
}

TEST(buffer_fork, D5_the_parent_s_sleepers_sleep_on_and_wake)
{
    if (unit_is_in_qemu())
        cr_skip_test("qemu cannot do that");
    struct family family = make_family();
    expect_items(family.cursor, 101, 500);
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, family.cursor));
    expect_fine(unit_child(only_append, &family));
    cr_assert(unit_reader_sleeps(&reader));
    expect_ok(unit_append(family.buffer, 501, 501));
    expect_ok(unit_reader_join(&reader));
    cr_assert(unit_is_item(&reader.item, 501));
    aether_cursor_close(family.cursor);
    aether_buffer_destroy(family.buffer);
}

struct busy {
    aether_buffer *way; /* where the splices lead */
    uint32_t stop;      /* atomic */
    struct unit_thread thread;
};

static bool goes_on(struct busy *busy)
{
    return __atomic_load_n(&busy->stop, __ATOMIC_SEQ_CST) == 0;
}

static const char *append_and_give_back(void *user)
{
    while (goes_on(user)) {
        aether_buffer *buffer = unit_buffer();
        aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
        claim(unit_append(buffer, 1, 500) == AETHER_OK);
        aether_cursor_close(cursor);
        aether_buffer_destroy(buffer);
    }
    return NULL;
}

static const char *splice_often(void *user)
{
    while (goes_on(user)) {
        aether_buffer *buffer = unit_buffer();
        claim(aether_buffer_splice(buffer, unit_open(((struct busy *)user)->way, AETHER_FROM_OLDEST)) == AETHER_OK);
        aether_buffer_destroy(buffer);
    }
    return NULL;
}

static const char *append_and_splice_own(void *user)
{
    (void)user;
    alarm(5);
    aether_buffer *a = unit_buffer(), *b = unit_buffer();
    aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT);
    claim(unit_append(a, 1, 500) == AETHER_OK);
    claim(aether_buffer_splice(a, unit_open(b, AETHER_FROM_NEXT)) == AETHER_OK);
    claim(unit_read(cursor, 1, 500) == NULL);
    aether_cursor_close(cursor);
    aether_buffer_destroy(a);
    aether_buffer_destroy(b);
    ae_rcu_barrier();
    return NULL;
}

/* qemu cannot do that. The address sanitizer's allocator may be locked in the child, by a thread that is not there. */
static bool cannot_fork_beside_threads(void)
{
    return unit_is_in_qemu() || AE_ASAN;
}

static void fork_beside(const char *(*body)(void *user), aether_buffer *way, int rounds)
{
    struct busy busy[2] = {{.way = way}, {.way = way}};
    for (int i = 0; i < 2; i++)
        cr_assert(unit_thread_start(&busy[i].thread, 0, body, &busy[i]));
    for (int round = 0; round < rounds; round++)
        expect_fine(unit_child(append_and_splice_own, NULL));
    for (int i = 0; i < 2; i++) {
        __atomic_store_n(&busy[i].stop, 1, __ATOMIC_SEQ_CST);
        expect_fine(unit_thread_join(&busy[i].thread));
    }
}

TEST(buffer_fork, D5_a_fork_beside_threads_that_give_memory_back_leaves_the_child_no_locked_lock)
{
    if (cannot_fork_beside_threads())
        cr_skip_test("not here");
    fork_beside(append_and_give_back, NULL, 40);
}

TEST(buffer_fork, D5_a_fork_beside_threads_that_splice_leaves_the_child_no_locked_lock)
{
    if (cannot_fork_beside_threads())
        cr_skip_test("not here");
    /* Each splice follows a long way under the lock of all splices, so that a fork meets it locked. */
    enum { LONG_WAY = 2000 };
    aether_buffer *way[LONG_WAY + 1];
    for (int i = 0; i <= LONG_WAY; i++)
        way[i] = unit_buffer();
    for (int i = LONG_WAY; i > 0; i--)
        expect_ok(aether_buffer_splice(way[i - 1], unit_open(way[i], AETHER_FROM_OLDEST)));
    fork_beside(splice_often, way[0], 10);
    for (int i = 0; i <= LONG_WAY; i++)
        aether_buffer_destroy(way[i]);
}
