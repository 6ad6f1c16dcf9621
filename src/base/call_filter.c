/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call_filter: see call_filter.h.
 *
 * The program is a list of comparisons: the tables are small, and the kernel remembers which calls
 * are allowed whatever their arguments are.  Of an argument the low 32 bits are compared, because
 * that is what the kernel uses of flags and families.
 */
#include "base/call_filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/mem.h"

#if defined(__x86_64__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#else
#error "no seccomp filter for this architecture"
#endif

enum { PROGRAM_MAX = 512 };

static const struct call_check without_exec[] = {
	{ SYS_mmap, 2, PROT_EXEC, 0 },
	{ SYS_mprotect, 2, PROT_EXEC, 0 },
};

/* Whoever tries one of these is not us any more. */
static const int fatal[] = {
	SYS_execve,
	SYS_execveat,
	SYS_ptrace,
	SYS_process_vm_readv,
	SYS_process_vm_writev,
	SYS_pidfd_getfd,
	SYS_unshare,
	SYS_setns,
	SYS_mount,
	SYS_umount2,
	SYS_pivot_root,
	SYS_open_by_handle_at,
	SYS_io_uring_setup,
	SYS_bpf,
	SYS_perf_event_open,
	SYS_userfaultfd,
	SYS_keyctl,
	SYS_add_key,
	SYS_request_key,
	SYS_init_module,
	SYS_finit_module,
	SYS_kexec_load,
#ifdef SYS_fork
	SYS_fork,
	SYS_vfork,
#endif
};

struct program {
	struct sock_filter code[PROGRAM_MAX];
	size_t n; /* of those that were needed, also where they did not fit */
};

static void emit(struct program *p, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
	if (p->n < PROGRAM_MAX)
		p->code[p->n] = (struct sock_filter){ .code = code, .jt = jt, .jf = jf, .k = k };
	p->n++;
}

static void load(struct program *p, size_t offset)
{
	emit(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void load_call(struct program *p)
{
	load(p, offsetof(struct seccomp_data, nr));
}

static void give(struct program *p, uint32_t action)
{
	emit(p, BPF_RET | BPF_K, action, 0, 0);
}

static void give_for(struct program *p, const int *calls, size_t n, uint32_t action)
{
	for (size_t i = 0; i < n; i++) {
		emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i], 0, 1);
		give(p, action);
	}
}

static void allow_checked(struct program *p, const struct call_check *checks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct call_check *c = &checks[i];

		emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)c->nr, 0, 5);
		/* The low word comes first on the little-endian machines that we build for. */
		load(p, offsetof(struct seccomp_data, args) + 8 * c->arg);
		emit(p, BPF_ALU | BPF_AND | BPF_K, c->mask, 0, 0);
		emit(p, BPF_JMP | BPF_JEQ | BPF_K, c->equal, 0, 1);
		give(p, SECCOMP_RET_ALLOW);
		load_call(p);
	}
}

static void build(struct program *p, const struct call_table *tables, size_t n)
{
	static const int absent[] = { SYS_clone3 };

	load(p, offsetof(struct seccomp_data, arch));
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, FILTER_ARCH, 1, 0);
	give(p, SECCOMP_RET_KILL_PROCESS);
	load_call(p);
	for (size_t i = 0; i < n; i++)
		give_for(p, tables[i].calls, tables[i].ncalls, SECCOMP_RET_ALLOW);
	allow_checked(p, without_exec, ARRAY_SIZE(without_exec));
	for (size_t i = 0; i < n; i++)
		allow_checked(p, tables[i].checks, tables[i].nchecks);
	give_for(p, absent, ARRAY_SIZE(absent), SECCOMP_RET_ERRNO | ENOSYS);
	give_for(p, fatal, ARRAY_SIZE(fatal), SECCOMP_RET_KILL_PROCESS);
	give(p, SECCOMP_RET_ERRNO | EPERM);
}

int call_filter_enforce(const struct call_table *tables, size_t n, bool all_threads, struct err *e)
{
	unsigned flags = all_threads ? SECCOMP_FILTER_FLAG_TSYNC : 0;
	struct program p = { .n = 0 };
	struct sock_fprog prog = { .filter = p.code };

	build(&p, tables, n);
	if (p.n > PROGRAM_MAX)
		return err_set(e, ERR_SYSTEM, -E2BIG, "the system call filter is too long");
	prog.len = (unsigned short)p.n;
	/* With TSYNC a thread that cannot be reached is the answer. */
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog) != 0)
		return err_sys(e, "cannot install its system call filter");
	return 0;
}
