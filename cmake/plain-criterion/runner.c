/*
 * Runs the tests that have registered themselves, each in a child of fork(), and counts. PLAIN_SKIP in the environment has
 * patterns of suite.name, with blanks between them, for tests that the place cannot run.
 */
#include <criterion/criterion.h>

#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* What runs the programs here is slower than a processor: deadlines are this many times longer. */
enum { SLOWER = 10, SECONDS_USUAL = 60, SKIPPED = 77 };

static struct plain_test *first;
static struct plain_test **last = &first;
static bool has_failed;

void plain_register(struct plain_test *test)
{
    *last = test;
    last = &test->next;
}

void plain_failed(bool fatal, const char *file, int line, const char *claim, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s:%d: does not hold: %s%s%s\n", file, line, claim, *text ? ": " : "", text);
    has_failed = true;
    if (fatal)
        _exit(1);
}

void plain_skip(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    _exit(SKIPPED);
}

void plain_log(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

static const struct plain_options *suite_options(const char *suite)
{
    static const struct plain_options none;
    for (const struct plain_test *test = first; test != NULL; test = test->next)
        if (test->run == NULL && strcmp(test->suite, suite) == 0)
            return &test->options;
    return &none;
}

static _Noreturn void run_child(const struct plain_test *test, const struct plain_options *suite)
{
    double timeout = test->options.timeout > 0 ? test->options.timeout : suite->timeout;
    alarm(SLOWER * (timeout >= 1 ? (unsigned)timeout : SECONDS_USUAL));
    void (*init)(void) = test->options.init != NULL ? test->options.init : suite->init;
    void (*fini)(void) = test->options.fini != NULL ? test->options.fini : suite->fini;
    if (init != NULL)
        init();
    test->run();
    if (fini != NULL)
        fini();
    fflush(NULL);
    _exit(has_failed ? 1 : 0);
}

static bool is_unwanted(const struct plain_test *test)
{
    const char *patterns = getenv("PLAIN_SKIP");
    char rest[4096], full_name[512], *position;
    snprintf(rest, sizeof rest, "%s", patterns != NULL ? patterns : "");
    snprintf(full_name, sizeof full_name, "%s.%s", test->suite, test->name);
    for (char *pattern = strtok_r(rest, " ", &position); pattern != NULL; pattern = strtok_r(NULL, " ", &position))
        if (fnmatch(pattern, full_name, 0) == 0)
            return true;
    return false;
}

/* The exit code, or the negative signal; 0 when the child ended in the way that its options ask for. */
static int run(const struct plain_test *test)
{
    const struct plain_options *suite = suite_options(test->suite);
    int signal = test->options.signal != 0 ? test->options.signal : suite->signal;
    int exit_code = test->options.exit_code != 0 ? test->options.exit_code : suite->exit_code;
    if (test->options.disabled || suite->disabled || is_unwanted(test))
        return SKIPPED;
    fflush(NULL);
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        run_child(test, suite);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 1;
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == signal ? 0 : -WTERMSIG(status);
    if (signal != 0)
        return 1;
    return WEXITSTATUS(status) == exit_code ? 0 : WEXITSTATUS(status) == 0 ? 1 : WEXITSTATUS(status);
}

int main(void)
{
    unsigned passed = 0, failed = 0, skipped = 0;
    for (const struct plain_test *test = first; test != NULL; test = test->next) {
        if (test->run == NULL)
            continue;
        int outcome = run(test);
        if (outcome == SKIPPED)
            skipped++;
        else if (outcome == 0)
            passed++;
        else
            failed++;
        if (outcome < 0)
            printf("%s.%s: FAILED, %s\n", test->suite, test->name, strsignal(-outcome));
        else if (outcome != 0 && outcome != SKIPPED)
            printf("%s.%s: FAILED, exit code %d\n", test->suite, test->name, outcome);
    }
    printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
    return failed != 0 || passed == 0;
}
