#include "common/unit_kernel.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FUTEX_WAITV = 449 }; /* older headers lack it */

static uint32_t number_of(enum unit_call call)
{
    static const uint32_t numbers[] = {
        [UNIT_MEMBARRIER] = SYS_membarrier, [UNIT_FUTEX_WAITV] = FUTEX_WAITV, [UNIT_GETRANDOM] = SYS_getrandom};
    return numbers[call];
}

bool unit_kernel_has(enum unit_call call)
{
    if (call == UNIT_FUTEX_WAITV)
        return syscall(FUTEX_WAITV, NULL, 0, 0, NULL, 0) == -1 && errno == EINVAL;
    if (call == UNIT_GETRANDOM)
        return syscall(SYS_getrandom, NULL, 0, 0) == 0;
    long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    return commands > 0 && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0;
}

static bool use(struct sock_filter *code, unsigned short length)
{
    struct sock_fprog program = {length, code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

bool unit_kernel_lacks(enum unit_call call)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number_of(call), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    return use(code, sizeof code / sizeof *code) && !unit_kernel_has(call);
}

/* Who looks for leaks clones too, but no thread; clone3's flags cannot be seen, and the C library does without it. */
bool unit_kernel_starts_no_threads(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 2, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
    };
    return use(code, sizeof code / sizeof *code) && syscall(SYS_clone3, NULL, 0) == -1 && errno == ENOSYS;
}

/* Not the kernel's strict mode: that one ends the calling thread alone, and takes the time stamp counter away. */
bool unit_kernel_allows_nothing(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    return use(code, sizeof code / sizeof *code);
}
