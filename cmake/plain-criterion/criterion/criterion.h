/*
 * The part of Criterion that our unit tests use, for places where Criterion itself cannot run: under qemu and valgrind. (Its
 * tests are run by a second copy of the program that maps the first one's memory.) Here a test is a child of fork(). What is
 * missing does not compile; it is added when a test needs it.
 */
#ifndef PLAIN_CRITERION_H
#define PLAIN_CRITERION_H

#pragma GCC system_header /* as Criterion's own is: our warnings are not for its macros */

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct plain_options {
    bool plain; /* so that a list of options may be empty */
    void (*init)(void);
    void (*fini)(void);
    int signal;
    int exit_code;
    bool disabled;
    double timeout; /* seconds */
    const char *description;
};

struct plain_test {
    const char *suite, *name;
    void (*run)(void); /* NULL: the options of the whole suite */
    struct plain_options options;
    struct plain_test *next;
};

void plain_register(struct plain_test *test);

/* A claim that does not hold: says so, and ends the test when it is fatal. */
__attribute__((format(printf, 5, 6))) void plain_failed(bool fatal, const char *file, int line, const char *claim,
                                                        const char *format, ...);
__attribute__((noreturn, format(printf, 1, 2))) void plain_skip(const char *format, ...);
__attribute__((format(printf, 1, 2))) void plain_log(const char *format, ...);

#define PLAIN_REGISTER(id, ...)                                                                                             \
    __attribute__((constructor)) static void id##_register(void)                                                            \
    {                                                                                                                       \
        static struct plain_test test = {__VA_ARGS__};                                                                      \
        plain_register(&test);                                                                                              \
    }

#define TestSuite(Suite, ...)                                                                                               \
    PLAIN_REGISTER(Suite##_suite, .suite = #Suite, .options = {.plain = true, ##__VA_ARGS__})                               \
    extern int plain_semicolon

#define Test(Suite, Name, ...)                                                                                              \
    static void Suite##_##Name##_run(void);                                                                                 \
    PLAIN_REGISTER(Suite##_##Name, .suite = #Suite, .name = #Name, .run = Suite##_##Name##_run,                             \
                   .options = {.plain = true, ##__VA_ARGS__})                                                               \
    static void Suite##_##Name##_run(void)

#define PLAIN_CLAIM(fatal, claim, text, ...)                                                                                \
    ((claim) ? (void)0 : plain_failed(fatal, __FILE__, __LINE__, text, "" __VA_ARGS__))

#define cr_assert(claim, ...) PLAIN_CLAIM(true, claim, #claim, __VA_ARGS__)
#define cr_assert_not(claim, ...) PLAIN_CLAIM(true, !(claim), "not " #claim, __VA_ARGS__)
#define cr_assert_eq(a, b, ...) PLAIN_CLAIM(true, (a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...) PLAIN_CLAIM(true, (a) != (b), #a " != " #b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...) PLAIN_CLAIM(true, (a) < (b), #a " < " #b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...) PLAIN_CLAIM(true, (a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...) PLAIN_CLAIM(true, (a) > (b), #a " > " #b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...) PLAIN_CLAIM(true, (a) >= (b), #a " >= " #b, __VA_ARGS__)
#define cr_assert_null(a, ...) PLAIN_CLAIM(true, (a) == NULL, #a " is NULL", __VA_ARGS__)
#define cr_assert_not_null(a, ...) PLAIN_CLAIM(true, (a) != NULL, #a " is not NULL", __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) PLAIN_CLAIM(true, strcmp((a), (b)) == 0, #a " is the text " #b, __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) PLAIN_CLAIM(true, strcmp((a), (b)) != 0, #a " is not the text " #b, __VA_ARGS__)
#define cr_assert_str_empty(a, ...) PLAIN_CLAIM(true, *(a) == '\0', #a " is empty", __VA_ARGS__)
#define cr_assert_str_not_empty(a, ...) PLAIN_CLAIM(true, *(a) != '\0', #a " is not empty", __VA_ARGS__)
#define cr_assert_arr_eq(a, b, size, ...)                                                                                   \
    PLAIN_CLAIM(true, memcmp((a), (b), (size)) == 0, #a " has the bytes of " #b, __VA_ARGS__)
#define cr_assert_fail(...) PLAIN_CLAIM(true, false, "fail", __VA_ARGS__)

#define cr_expect(claim, ...) PLAIN_CLAIM(false, claim, #claim, __VA_ARGS__)
#define cr_expect_not(claim, ...) PLAIN_CLAIM(false, !(claim), "not " #claim, __VA_ARGS__)
#define cr_expect_eq(a, b, ...) PLAIN_CLAIM(false, (a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_expect_neq(a, b, ...) PLAIN_CLAIM(false, (a) != (b), #a " != " #b, __VA_ARGS__)
#define cr_expect_lt(a, b, ...) PLAIN_CLAIM(false, (a) < (b), #a " < " #b, __VA_ARGS__)
#define cr_expect_leq(a, b, ...) PLAIN_CLAIM(false, (a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_expect_gt(a, b, ...) PLAIN_CLAIM(false, (a) > (b), #a " > " #b, __VA_ARGS__)
#define cr_expect_geq(a, b, ...) PLAIN_CLAIM(false, (a) >= (b), #a " >= " #b, __VA_ARGS__)
#define cr_expect_null(a, ...) PLAIN_CLAIM(false, (a) == NULL, #a " is NULL", __VA_ARGS__)
#define cr_expect_not_null(a, ...) PLAIN_CLAIM(false, (a) != NULL, #a " is not NULL", __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...) PLAIN_CLAIM(false, strcmp((a), (b)) == 0, #a " is the text " #b, __VA_ARGS__)
#define cr_expect_str_empty(a, ...) PLAIN_CLAIM(false, *(a) == '\0', #a " is empty", __VA_ARGS__)
#define cr_expect_str_not_empty(a, ...) PLAIN_CLAIM(false, *(a) != '\0', #a " is not empty", __VA_ARGS__)
#define cr_expect_arr_eq(a, b, size, ...)                                                                                   \
    PLAIN_CLAIM(false, memcmp((a), (b), (size)) == 0, #a " has the bytes of " #b, __VA_ARGS__)

#define cr_skip_test(...) plain_skip("" __VA_ARGS__)
#define cr_skip(...) plain_skip("" __VA_ARGS__)
#define cr_log_info(...) plain_log(__VA_ARGS__)
#define cr_log_warn(...) plain_log(__VA_ARGS__)
#define cr_log_error(...) plain_log(__VA_ARGS__)

#endif
