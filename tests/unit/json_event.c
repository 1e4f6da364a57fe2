/* Events as JSON: what is read, what is kept as it came, and what is said of what is wrong. */
#include "common/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "aether/json.h"

static aether_json_reader *reader;
static aether_json_writer *writer;

static void open_both(void)
{
    reader = aether_json_reader_create(&unit_allocator);
    writer = aether_json_writer_create(&unit_allocator);
    cr_assert(reader != NULL && writer != NULL);
}

static void close_both(void)
{
    aether_json_reader_destroy(reader);
    aether_json_writer_destroy(writer);
}

static bool is(const char *wanted, const char *text, size_t size)
{
    return strlen(wanted) == size && (size == 0 || memcmp(wanted, text, size) == 0);
}

#define expect_text(wanted, text)                                                                                           \
    cr_assert(is(wanted, (text).data, (text).size), "\"%.*s\" is not \"%s\"", (int)(text).size, (text).data, wanted)

static aether_event read_text(const char *text)
{
    aether_event event;
    expect_ok(aether_json_read(reader, text, strlen(text), &event));
    return event;
}

/* What is read is written as this. */
static void expect_written(const char *wanted, const char *text)
{
    aether_event event = read_text(text);
    aether_text written;
    expect_ok(aether_json_write(writer, &event, 0, &written));
    expect_text(wanted, written);
}

static void expect_wrong(const char *fragment, const char *text)
{
    aether_event event;
    expect_refused(AETHER_MALFORMED, fragment, aether_json_read(reader, text, strlen(text), &event));
}

static const char whole[] =
    "{\"id\":\"0191b2c3-d4e5-7f60-8192-a3b4c5d6e7f8\",\"eventType\":\"OrderPaid\",\"actorId\":\"order-42\",\"version\":7,"
    "\"data\":{\"cents\":199},\"metadata\":{\"correlation_id\":\"c1\"},\"timestamp\":\"2026-11-27T10:00:00.123456789Z\"}";

TEST(json_event, STO11_an_event_is_read_and_written_as_it_was)
{
    open_both();
    aether_event event = read_text(whole);
    cr_assert(is("OrderPaid", event.type, event.type_size) && is("order-42", event.actor, event.actor_size));
    cr_assert(event.version == 7 && event.id[0] == 0x01 && event.id[15] == 0xf8 && event.extra.size == 0 &&
              event.flags == 0);
    expect_text("{\"cents\":199}", event.data);
    expect_text("{\"correlation_id\":\"c1\"}", event.metadata);
    expect_number(1795773600123456789, event.timestamp);
    expect_written(whole, whole);
    expect_written("{\"eventType\":\"T\",\"actorId\":\"a\",\"closing\":true}",
                   " {\"actorId\" : \"a\" ,\n\"eventType\":\"T\",\"closing\":true, \"version\":0 }\n");
    expect_written("{}", "{}");
    close_both();
}

TEST(json_event, STO11_S25_data_are_bytes_and_integers_beyond_2_53_are_exact)
{
    open_both();
    aether_event event =
        read_text("{\"version\":9223372036854775807,\"data\":{ \"n\":9007199254740993, \"e\":1.0e2,\"n\":1 }}");
    expect_number(INT64_MAX, event.version);
    expect_text("{ \"n\":9007199254740993, \"e\":1.0e2,\"n\":1 }", event.data);
    event = read_text("{\"data\":null,\"version\":9007199254740993}");
    expect_text("null", event.data);
    expect_number(INT64_C(9007199254740993), event.version);
    expect_wrong("column 12: version is beyond", "{\"version\":9223372036854775808}");
    expect_wrong("column 12: version has to be an integer", "{\"version\":1.5}");
    expect_wrong("version has to be an integer", "{\"version\":1e3}");
    expect_wrong("version has to be an integer", "{\"version\":-1}");
    expect_wrong("version has to be an integer", "{\"version\":\"1\"}");
    close_both();
}

TEST(json_event, STO11_unknown_members_are_kept_as_they_came)
{
    open_both();
    aether_event event = read_text("{\"x\":[1, 2],\"actorId\":\"a\",\"\\u0079\":{\"z\":null},\"batch\":[{}]}");
    expect_text("\"x\":[1, 2],\"\\u0079\":{\"z\":null},\"batch\":[{}]", event.extra);
    expect_written("{\"actorId\":\"a\",\"x\":[1, 2]}", "{\"x\":[1, 2],\"actorId\":\"a\"}");
    close_both();
}

TEST(json_event, STO11_the_place_of_an_event_is_no_part_of_it)
{
    open_both();
    aether_event event = read_text("{\"actorId\":\"a\",\"position\":12,\"epoch\":\"00000000000000ff\"}");
    cr_assert(event.index == 12 && event.epoch == 255 && event.extra.size == 0);
    aether_text written;
    expect_ok(aether_json_write(writer, &event, AETHER_JSON_POSITION, &written));
    expect_text("{\"actorId\":\"a\",\"position\":12,\"epoch\":\"00000000000000ff\"}", written);
    expect_written("{\"actorId\":\"a\"}", "{\"actorId\":\"a\",\"position\":12,\"epoch\":\"00000000000000ff\"}");
    expect_written("{\"position\":\"x\",\"epoch\":1}", "{\"position\":\"x\",\"epoch\":1}");
    close_both();
}

TEST(json_event, STO11_an_id_that_is_no_uuid_is_kept_and_has_a_uuid_of_its_own)
{
    open_both();
    uint8_t first[16];
    aether_event event = read_text("{\"id\":\"evt-1\",\"actorId\":\"a\"}");
    memcpy(first, event.id, sizeof first);
    cr_assert(first[6] >> 4 == 5 && first[8] >> 6 == 2, "not a UUID of version 5");
    event = read_text("{\"id\":\"evt-2\"}");
    cr_assert(memcmp(first, event.id, sizeof first) != 0);
    event = read_text("{\"id\":\"evt-1\"}");
    cr_assert(memcmp(first, event.id, sizeof first) == 0);
    expect_written("{\"actorId\":\"a\",\"id\":\"evt-1\"}", "{\"id\":\"evt-1\",\"actorId\":\"a\"}");
    /* One that is not the event's own. */
    expect_written("{\"id\":\"0191b2c3-d4e5-7f60-8192-a3b4c5d6e7f8\",\"x\":{\"a\":1,\"id\":2},\"y\":[\",\\\"id\\\":\"]}",
                   "{\"x\":{\"a\":1,\"id\":2},\"y\":[\",\\\"id\\\":\"],\"id\":\"0191b2c3-d4e5-7f60-8192-a3b4c5d6e7f8\"}");
    expect_written("{\"x\":[1,2],\"id\":\"mine\"}", "{\"x\":[1,2],\"\\u0069d\":\"mine\"}");
    event = read_text("{\"id\":\"\"}");
    static const uint8_t none[16];
    cr_assert(memcmp(event.id, none, sizeof none) == 0);
    close_both();
}

TEST(json_event, STO11_escapes_of_texts_are_read)
{
    open_both();
    aether_event empty = read_text("{\"actorId\":\"\",\"eventType\":\"\"}"),
                 event = read_text("{\"actorId\":\"a\\u00e9\\ud83d\\ude00\\n\\\"\\\\u0000\",\"event\\u0054ype\":\"T\"}");
    cr_assert(empty.actor == NULL && empty.type == NULL && empty.actor_size == 0);
    cr_assert(is("a\xc3\xa9\xf0\x9f\x98\x80\n\"\\u0000", event.actor, event.actor_size));
    cr_assert(is("T", event.type, event.type_size));
    aether_text written;
    event.actor = "q\"\\\x01\n\xc3\xa9";
    event.actor_size = 0;
    expect_ok(aether_json_write(writer, &event, 0, &written));
    expect_text("{\"eventType\":\"T\",\"actorId\":\"q\\\"\\\\\\u0001\\n\xc3\xa9\"}", written);
    expect_wrong("NUL", "{\"actorId\":\"a\\u0000b\"}");
    close_both();
}

TEST(json_event, STO11_what_is_wrong_is_said_with_line_and_column)
{
    open_both();
    aether_json_reader_set_line(reader, 41);
    expect_wrong("line 42 column 3: a comma or a closing brace is missing", "{\"data\":1\n  \"actorId\":\"a\"}");
    aether_json_place place = aether_json_reader_place(reader);
    cr_assert(place.line == 42 && place.column == 3 && place.offset == 12);
    aether_json_reader_set_line(reader, 1);
    expect_wrong("line 1 column 1: an event has to be an object", "");
    expect_wrong("column 1: an event has to be an object", "[1]");
    expect_wrong("column 2: the name of a member is missing", "{,}");
    expect_wrong("column 7: a colon is missing", "{\"id\" }");
    expect_wrong("no JSON value", "{\"data\":nul}");
    expect_wrong("no JSON value", "{\"data\":{\"a\":}}");
    expect_wrong("column 14: this is no JSON value", "{\"actorId\":\"\\u000+0\"}");
    expect_wrong("no JSON value", "{\"data\":{\"a\":\"\\u12\"}}");
    expect_wrong("no JSON value", "{\"data\":[\"a\nb\"]}");
    expect_wrong("no JSON value", "{\"data\":\"abc");
    expect_wrong("no JSON value", "{\"data\":");
    expect_wrong("a comma or a closing brace", "{\"data\":1");
    expect_wrong("column 4: something follows the event", "{} x");
    expect_wrong("column 14: this member came before", "{\"version\":1,\"version\":2}");
    expect_wrong("actorId has to be a text", "{\"actorId\":7}");
    expect_wrong("closing has to be true or false", "{\"closing\":1}");
    expect_wrong("timestamp is no time", "{\"timestamp\":\"2026-02-30T00:00:00Z\"}");
    expect_wrong("column 11: this is no UTF-8", "{\"data\":\"a\xff\"}");
    expect_wrong("no base64", "{\"dataBase64\":\"a=b=\"}");
    close_both();
}

TEST(json_event, STO11_deep_nesting_is_refused_and_not_followed)
{
    enum { DEPTH = 10000 };
    open_both();
    char *text = malloc(2 * DEPTH + 20);
    size_t used = (size_t)sprintf(text, "{\"data\":");
    memset(text + used, '[', DEPTH);
    memset(text + used + DEPTH, ']', DEPTH);
    memcpy(text + used + 2 * DEPTH, "}", 2);
    expect_wrong("nested deeper than 1,000", text);
    memmove(text + used + 900, text + used + DEPTH, 900);
    memcpy(text + used + 1800, "}", 2);
    aether_event event = read_text(text);
    expect_number(1800, event.data.size);
    free(text);
    close_both();
}

TEST(json_event, STO11_bytes_that_are_no_json_go_as_base64_and_come_back)
{
    open_both();
    for (size_t size = 0; size <= 40; size++) {
        char bytes[40];
        for (size_t i = 0; i < size; i++)
            bytes[i] = (char)(i * 37 + 128);
        aether_event event = {.actor = "a", .data = {bytes, size}, .metadata = {bytes, size}}, back;
        aether_text written;
        expect_ok(aether_json_write(writer, &event, 0, &written));
        expect_ok(aether_json_read(reader, written.data, written.size, &back));
        cr_assert(back.data.size == size && (size == 0 || memcmp(back.data.data, bytes, size) == 0));
        cr_assert(back.metadata.size == size && (size == 0 || memcmp(back.metadata.data, bytes, size) == 0));
    }
    aether_event event = {.data = AETHER_TEXT("{\n  \"a\" : 1\n}")}, back;
    aether_text written;
    expect_ok(aether_json_write(writer, &event, 0, &written));
    expect_text("{\"data\":{\"a\":1},\"dataBase64\":\"ewogICJhIiA6IDEKfQ==\"}", written);
    expect_ok(aether_json_read(reader, written.data, written.size, &back));
    expect_text("{\n  \"a\" : 1\n}", back.data);
    close_both();
}

TEST(json_event, STO11_times_are_those_of_rfc_3339)
{
    static const struct {
        const char *text;
        int64_t time;
        const char *written;
    } times[] = {
        {"1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"},
        {"1970-01-01T00:00:00.000000001Z", 1, "1970-01-01T00:00:00.000000001Z"},
        {"2000-02-29T23:59:59.5+01:30", INT64_C(951863399500000000), "2000-02-29T22:29:59.5Z"},
        {"1969-12-31T23:59:59.9z", -100000000, "1969-12-31T23:59:59.9Z"},
        {"2026-11-27 10:00:00-00:00", INT64_C(1795773600000000000), "2026-11-27T10:00:00Z"},
        {"2024-12-31T23:59:60Z", INT64_C(1735689600000000000), "2025-01-01T00:00:00Z"},
        {"2262-04-11T23:47:16.854775807Z", INT64_C(9223372036854775807), NULL},
        {"1900-03-01T00:00:00.1234567894Z", INT64_C(-2203891199876543211), "1900-03-01T00:00:00.123456789Z"},
        {"0001-01-01T00:00:00Z", 0, NULL},
    };
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        int64_t time = 0;
        bool read = aether_json_read_time(times[i].text, strlen(times[i].text), &time);
        if (times[i].time == INT64_MAX) {
            cr_assert(!read, "the last second is left out");
            continue;
        }
        cr_assert(read && time == times[i].time, "%s is %lld", times[i].text, (long long)time);
        char text[36];
        aether_json_write_time(time, text);
        if (times[i].written != NULL)
            cr_assert_str_eq(text, times[i].written);
    }
    static const char *const none[] = {"",
                                       "2026",
                                       "2026-13-01T00:00:00Z",
                                       "2026-01-32T00:00:00Z",
                                       "2025-02-29T00:00:00Z",
                                       "2026-01-01T24:00:00Z",
                                       "2026-01-01T00:00:00",
                                       "2026-01-01T00:00:00.Z",
                                       "2026-01-01T00:00:00+1:00",
                                       "1500-01-01T00:00:00Z",
                                       "2026-01-01T00:00:00Zx",
                                       "3000-01-01T00:00:00Z"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        int64_t time;
        cr_assert(!aether_json_read_time(none[i], strlen(none[i]), &time), "%s", none[i]);
    }
    /* Each day of 800 years goes there and back. */
    for (int64_t day = -292194 / 4; day < 292194 / 4; day += 13) {
        char text[36];
        int64_t time, wanted = day * INT64_C(86400000000000) + 1;
        aether_json_write_time(wanted, text);
        cr_assert(aether_json_read_time(text, strlen(text), &time) && time == wanted, "%s", text);
    }
}

TEST(json_event, NET4_a_batch_is_its_last_event_with_all_of_them)
{
    open_both();
    aether_event events[3] = {{.actor = "a", .type = "T", .version = 1},
                              {.actor = "a", .type = "T", .version = 2, .data = AETHER_TEXT("{\"x\":1}")},
                              {.actor = "a", .type = "T", .version = 3, .extra = AETHER_TEXT("\"u\":0")}};
    aether_text written;
    const aether_event *back;
    size_t count;
    expect_ok(aether_json_write_batch(writer, events, 3, 0, &written));
    expect_text("{\"eventType\":\"T\",\"actorId\":\"a\",\"version\":3,\"u\":0,\"batch\":[{\"eventType\":\"T\",\"actorId\":"
                "\"a\",\"version\":1},"
                "{\"eventType\":\"T\",\"actorId\":\"a\",\"version\":2,\"data\":{\"x\":1}},{\"eventType\":\"T\",\"actorId\":"
                "\"a\",\"version\":3,\"u\":0}]}",
                written);
    expect_ok(aether_json_read_batch(reader, written.data, written.size, &back, &count));
    expect_number(3, count);
    for (size_t i = 0; i < 3; i++)
        expect_number(i + 1, back[i].version);
    expect_text("{\"x\":1}", back[1].data);
    expect_text("\"u\":0", back[2].extra);
    expect_ok(aether_json_read_batch(reader, whole, strlen(whole), &back, &count));
    cr_assert(count == 1 && back->version == 7);
    static const char *const wrong[] = {"{\"batch\":[]}", "{\"batch\":1}", "{\"batch\":[1]}",
                                        "{\"batch\":[{\"version\":-1}]}"};
    for (size_t i = 0; i < 4; i++)
        expect_status(AETHER_MALFORMED, aether_json_read_batch(reader, wrong[i], strlen(wrong[i]), &back, &count));
    close_both();
}

TEST(json_event, STO11_no_part_of_a_text_is_read_as_an_event)
{
    open_both();
    for (size_t size = 0; size + 1 < sizeof whole; size++) {
        char *part = malloc(size + 1); /* the sanitizer sees a read behind it */
        memcpy(part, whole, size);
        aether_event event;
        expect_status(AETHER_MALFORMED, aether_json_read(reader, part, size, &event));
        free(part);
    }
    close_both();
}

static bool write_and_read(uint64_t skip, bool all)
{
    unit_memory_fail_next(skip, all);
    aether_json_reader *in = aether_json_reader_create(&unit_allocator);
    aether_json_writer *out = aether_json_writer_create(&unit_allocator);
    static const char text[] = "{\"id\":\"no uuid\",\"actorId\":\"\\u0061\",\"dataBase64\":\"YWJj\",\"x\":1,\"y\":2}";
    aether_event event;
    aether_text written;
    if (in != NULL && out != NULL && aether_json_read(in, text, strlen(text), &event) == AETHER_OK &&
        aether_json_write(out, &event, 0, &written) == AETHER_OK)
        (void)written;
    bool failed = unit_memory_has_failed();
    aether_json_reader_destroy(in);
    aether_json_writer_destroy(out);
    return failed;
}

TEST(json_event, D6_each_failing_allocation_is_told)
{
    expect_fine(unit_memory_each_failure(write_and_read));
}

TEST(json_event, STO7_documents_are_merged)
{
    const aether_reducer *reducer = aether_json_merge_reducer();
    static const char *const changes[] = {"{\"a\":1,\"b\":{\"c\":2,\"d\":3}}",
                                          "{\"a\":null,\"b\":{\"c\":4,\"e\":{\"f\":null,\"g\":1}}}", "",
                                          "{\"b\":{\"d\":[1,null]}}"};
    void *state = reducer->create(NULL);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        expect_ok(reducer->apply(state, AETHER_EVENT(.data = AETHER_TEXT(changes[i])), NULL));
    char *text = aether_json_merge_text(state);
    cr_assert_str_eq(text, "{\"b\":{\"c\":4,\"e\":{\"g\":1},\"d\":[1,null]}}");
    void *copy = reducer->create(NULL);
    expect_ok(reducer->restore(copy, aether_text_of(text), NULL));
    free(text);
    expect_ok(reducer->apply(copy, AETHER_EVENT(.data = AETHER_TEXT("[7]")), NULL));
    text = aether_json_merge_text(copy);
    cr_assert_str_eq(text, "[7]");
    free(text);
    expect_status(AETHER_MALFORMED, reducer->apply(state, AETHER_EVENT(.data = AETHER_TEXT("{")), NULL));
    reducer->destroy(state, NULL);
    reducer->destroy(copy, NULL);
}
