/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp_test: run the compiled filter, every variant of both architectures, through an
 * interpreter of classic BPF and compare its answers with what the table and SECURITY.md say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "box/box.h"
#include "box/seccomp_internal.h"

#define ERRNO(e) (SECCOMP_RET_ERRNO | (uint32_t)(e))
#define ALLOWED	 ((uint32_t)SECCOMP_RET_ALLOW)

static const uint32_t arch_token[] = {
	[SECCOMP_X86_64] = AUDIT_ARCH_X86_64,
	[SECCOMP_ARM64] = AUDIT_ARCH_AARCH64,
};

struct program {
	struct seccomp_variant v;
	struct sock_filter insn[SECCOMP_PROGRAM_MAX];
	int n;
};

static uint32_t load(const struct seccomp_data *d, uint32_t offset)
{
	uint32_t word;

	assert_true(offset % 4 == 0 && offset + 4 <= sizeof(*d));
	memcpy(&word, (const char *)d + offset, 4);
	return word;
}

/* The subset of classic BPF that the compiler writes; anything else fails the test. */
static uint32_t interpret(const struct program *p, const struct seccomp_data *d)
{
	uint32_t a = 0;

	for (int pc = 0; pc < p->n; pc++) {
		const struct sock_filter *i = &p->insn[pc];
		bool yes = false;

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			a = load(d, i->k);
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			continue;
		case BPF_RET | BPF_K:
			return i->k;
		case BPF_JMP | BPF_JEQ | BPF_K:
			yes = a == i->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			yes = a >= i->k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			yes = (a & i->k) != 0;
			break;
		default:
			fail_msg("instruction %d has code %#x", pc, i->code);
		}
		pc += yes ? i->jt : i->jf;
	}
	fail_msg("the program ran off its end");
	return 0;
}

static void compile(struct program *p, enum seccomp_arch arch, bool pretend, bool nested)
{
	p->v = (struct seccomp_variant){ .arch = arch, .pretend = pretend, .nested = nested };
	p->n = seccomp_compile(&p->v, p->insn, SECCOMP_PROGRAM_MAX);
	assert_in_range(p->n, 100, 250);
}

static uint32_t ask(const struct program *p, uint32_t nr, const uint64_t args[6])
{
	struct seccomp_data d = { .nr = (int)nr, .arch = arch_token[p->v.arch] };

	memcpy(d.args, args, sizeof(d.args));
	return interpret(p, &d);
}

static void each_variant(void (*f)(const struct program *))
{
	static struct program p;

	for (unsigned i = 0; i < 8; i++) {
		compile(&p, (i & 4) != 0 ? SECCOMP_ARM64 : SECCOMP_X86_64, (i & 1) != 0,
			(i & 2) != 0);
		f(&p);
	}
}

/* --- the table, said a second time ----------------------------------------------------------- */

static bool no_change(uint64_t id)
{
	return (uint32_t)id == 0 || (uint32_t)id == UINT32_MAX;
}

static uint32_t pretended(const struct program *p, const uint64_t *ids, unsigned n)
{
	for (unsigned i = 0; p->v.pretend && i < n; i++) {
		if (!no_change(ids[i]))
			return ERRNO(0);
	}
	return ALLOWED;
}

static uint32_t expect_socket(const uint64_t a[6])
{
	uint32_t family = (uint32_t)a[0];
	uint32_t type = (uint32_t)a[1] & 0xf;
	uint32_t protocol = (uint32_t)a[2];

	if (family == AF_UNIX)
		return ALLOWED;
	if (family == AF_NETLINK)
		return protocol == NETLINK_ROUTE ? ALLOWED : ERRNO(EAFNOSUPPORT);
	if (family != AF_INET && family != AF_INET6)
		return ERRNO(EAFNOSUPPORT);
	if (type != SOCK_STREAM && type != SOCK_DGRAM)
		return ERRNO(type == SOCK_RAW ? EPERM : ESOCKTNOSUPPORT);
	switch (protocol) {
	case 0:
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return ALLOWED;
	default:
		return ERRNO(EPROTONOSUPPORT);
	}
}

static uint32_t expect_ioctl(const uint64_t a[6])
{
	static const uint32_t denied[] = { 0x5412, 0x541C, 0x541D, 0x5423, 0xC0045877, 0xC0045878 };

	for (size_t i = 0; i < ARRAY_SIZE(denied); i++) {
		if ((uint32_t)a[1] == denied[i])
			return ERRNO(EPERM);
	}
	return ALLOWED;
}

static uint32_t expect_personality(const uint64_t a[6])
{
	static const uint32_t ok[] = { 0, 8, 0x20000, 0x20008, 0x40000, 0xffffffff };

	for (size_t i = 0; i < ARRAY_SIZE(ok); i++) {
		if ((uint32_t)a[0] == ok[i])
			return ALLOWED;
	}
	return ERRNO(EPERM);
}

static uint32_t expect_mode(uint64_t mode)
{
	return S_ISCHR((mode_t)mode) || S_ISBLK((mode_t)mode) ? ERRNO(EPERM) : ALLOWED;
}

static uint32_t expect(const struct program *p, uint8_t rule, const uint64_t a[6])
{
	switch ((enum seccomp_rule)rule) {
	case SECCOMP_ENOSYS:
		return ERRNO(ENOSYS);
	case SECCOMP_EPERM:
		return ERRNO(EPERM);
	case SECCOMP_ALLOW:
		return ALLOWED;
	case SECCOMP_NESTED:
		return p->v.nested ? ALLOWED : ERRNO(EPERM);
	case SECCOMP_CLONE:
		return p->v.nested || (a[0] & 0x7E020000) == 0 ? ALLOWED : ERRNO(EPERM);
	case SECCOMP_UNSHARE:
		return p->v.nested || (a[0] & 0x7E020080) == 0 ? ALLOWED : ERRNO(EPERM);
	case SECCOMP_SOCKET:
		return expect_socket(a);
	case SECCOMP_IOCTL:
		return expect_ioctl(a);
	case SECCOMP_PRLIMIT:
		return (uint32_t)a[0] == 1 ? ERRNO(EPERM) : ALLOWED;
	case SECCOMP_PRCTL:
		return (uint32_t)a[0] == PR_SET_MM ? ERRNO(EPERM) : ALLOWED;
	case SECCOMP_PERSONALITY:
		return expect_personality(a);
	case SECCOMP_MKNOD:
		return expect_mode(a[1]);
	case SECCOMP_MKNODAT:
		return expect_mode(a[2]);
	case SECCOMP_CHOWN:
		return pretended(p, a + 1, 2);
	case SECCOMP_CHOWNAT:
		return pretended(p, a + 2, 2);
	case SECCOMP_SETGROUPS:
		return p->v.pretend ? ERRNO(0) : ALLOWED;
	case SECCOMP_SETID1:
		return pretended(p, a, 1);
	case SECCOMP_SETID2:
		return pretended(p, a, 2);
	case SECCOMP_SETID3:
		return pretended(p, a, 3);
	case SECCOMP_RULE_MAX:
		break;
	}
	fail_msg("rule %u", rule);
	return 0;
}

/* Values that mean something to some rule, and neighbours of them. */
static const uint64_t interesting[] = {
	0,
	1,
	2,
	3,
	5,
	6,
	7,
	8,
	10,
	15,
	16,
	17,
	33,
	35,
	38,
	40,
	58,
	0x80,
	132,
	136,
	262,
	1000,
	0x5412,
	0x541C,
	0x541D,
	0x5423,
	0x2000 | 0600,
	0x6000 | 0600,
	0x1000 | 0600,
	0x8000 | 0600,
	0xC000 | 0600,
	SOCK_RAW | SOCK_CLOEXEC,
	SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	0x20000,
	0x20008,
	0x40000,
	0x0400000,
	0x10000000,
	0x02000000,
	0x7E020000,
	0xC0045877,
	0xC0045878,
	0xffffffff,
	0x100000000,
	0x100005412,
	0xdeadbeef0000541C,
	0xffffffffffffffff,
	0x100000000 | 38,
};

static const struct seccomp_row *row_of(enum seccomp_arch arch, uint32_t nr)
{
	static const struct seccomp_row *by_nr[SECCOMP_ARCH_MAX][SECCOMP_NR_LAST + 1];
	static bool filled;

	for (size_t i = 0; !filled && i < seccomp_nrows; i++) {
		for (int a = 0; a < SECCOMP_ARCH_MAX; a++) {
			if (seccomp_rows[i].nr[a] >= 0)
				by_nr[a][seccomp_rows[i].nr[a]] = &seccomp_rows[i];
		}
	}
	filled = true;
	return nr <= SECCOMP_NR_LAST ? by_nr[arch][nr] : NULL;
}

static void check_number(const struct program *p, uint32_t nr, const uint64_t a[6])
{
	const struct seccomp_row *r = row_of(p->v.arch, nr);
	uint32_t want = r == NULL ? ERRNO(ENOSYS) : expect(p, r->rule, a);
	uint32_t have = ask(p, nr, a);

	if (have != want)
		fail_msg("arch %d pretend %d nested %d: %s (%u) with %#lx %#lx %#lx %#lx answers "
			 "%#x, expected %#x",
			 (int)p->v.arch, p->v.pretend, p->v.nested, r == NULL ? "-" : r->name, nr,
			 a[0], a[1], a[2], a[3], have, want);
}

/* Every number with every interesting value in each argument, and in neighbouring pairs. */
static void check_all(const struct program *p)
{
	const size_t n = ARRAY_SIZE(interesting);

	for (uint32_t nr = 0; nr <= 600; nr++) {
		const struct seccomp_row *r = row_of(p->v.arch, nr);
		bool looks_at_arguments = r != NULL && r->rule > SECCOMP_NESTED;

		for (size_t i = 0; i < n; i++) {
			uint64_t a[6] = { interesting[i], interesting[i], interesting[i],
					  interesting[i], interesting[i], interesting[i] };

			check_number(p, nr, a);
		}
		for (size_t i = 0; looks_at_arguments && i < n * n * n; i++) {
			uint64_t a[6] = { interesting[i % n],	  interesting[i / n % n],
					  interesting[i / n / n], interesting[i % n],
					  interesting[i / n % n], 0 };

			check_number(p, nr, a);
		}
	}
}

static void test_answers_follow_the_table(void **state)
{
	(void)state;
	each_variant(check_all);
}

static void check_nothing_above(const struct program *p)
{
	static const uint64_t zero[6];
	static const uint32_t far[] = { 0x40000000, 0x40000000 + 39, 0x40000000 + 512, 0x7fffffff,
					0x80000000, 0xffffffff,	     0xffff0000 + 41 };

	for (uint32_t nr = SECCOMP_NR_LAST + 1; nr < 0x12000; nr++)
		assert_int_equal(ask(p, nr, zero), ERRNO(ENOSYS));
	for (uint32_t nr = 0; nr < 1024; nr++) /* x32 */
		assert_int_equal(ask(p, 0x40000000 | nr, zero), ERRNO(ENOSYS));
	for (size_t i = 0; i < ARRAY_SIZE(far); i++)
		assert_int_equal(ask(p, far[i], zero), ERRNO(ENOSYS));
}

static void test_nothing_above_the_ceiling(void **state)
{
	(void)state;
	each_variant(check_nothing_above);
}

static void check_foreign(const struct program *p)
{
	static const uint32_t foreign[] = { AUDIT_ARCH_I386, AUDIT_ARCH_ARM, AUDIT_ARCH_RISCV64, 0,
					    UINT32_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
		for (int nr = 0; nr < 600; nr++) {
			struct seccomp_data d = { .nr = nr, .arch = foreign[i] };

			assert_int_equal(interpret(p, &d), ERRNO(ENOSYS));
		}
	}
}

static void test_foreign_architectures(void **state)
{
	(void)state;
	each_variant(check_foreign);
}

/* What the kernel checks before it takes a program, and more: every jump stays inside. */
static void check_shape(const struct program *p)
{
	for (int i = 0; i < p->n; i++) {
		if (BPF_CLASS(p->insn[i].code) != BPF_JMP)
			continue;
		assert_true(i + 1 + p->insn[i].jt < p->n);
		assert_true(i + 1 + p->insn[i].jf < p->n);
	}
	assert_int_equal(p->insn[p->n - 1].code, BPF_RET | BPF_K);
}

static void test_shape(void **state)
{
	(void)state;
	each_variant(check_shape);
}

static void test_too_small(void **state)
{
	struct seccomp_variant v = { .arch = SECCOMP_X86_64 };
	struct sock_filter out[SECCOMP_PROGRAM_MAX];

	(void)state;
	for (size_t cap = 0; cap < 150; cap++)
		assert_int_equal(seccomp_compile(&v, out, cap), -EOVERFLOW);
}

static void test_table(void **state)
{
	int last = -1;
	int newest = -1;

	(void)state;
	for (size_t i = 0; i < seccomp_nrows; i++) {
		const struct seccomp_row *r = &seccomp_rows[i];

		assert_true(r->name[0] != '\0' && r->name[sizeof(r->name) - 1] == '\0');
		assert_true(r->rule < SECCOMP_RULE_MAX);
		assert_true(r->nr[SECCOMP_X86_64] > last); /* sorted, so unique */
		last = r->nr[SECCOMP_X86_64];
		for (int a = 0; a < SECCOMP_ARCH_MAX; a++) {
			assert_in_range(r->nr[a] + 1, 0, SECCOMP_NR_LAST + 1);
			if (r->nr[a] >= 0)
				assert_ptr_equal(row_of((enum seccomp_arch)a, (uint32_t)r->nr[a]),
						 r);
			newest = r->nr[a] > newest ? r->nr[a] : newest;
		}
		/* New calls have one number everywhere. */
		if (r->nr[SECCOMP_X86_64] >= 424)
			assert_int_equal(r->nr[SECCOMP_X86_64], r->nr[SECCOMP_ARM64]);
	}
	assert_int_equal(newest, SECCOMP_NR_LAST);
}

/* The rows that matter most, by the numbers of the system's own headers. */
struct known {
	long nr;
	uint32_t answer;
	uint64_t args[3];
};
static const struct known known[] = {
	{ SYS_read, SECCOMP_RET_ALLOW, { 0 } },
	{ SYS_execve, SECCOMP_RET_ALLOW, { 0 } },
	{ SYS_rt_sigreturn, SECCOMP_RET_ALLOW, { 0 } },
	{ SYS_restart_syscall, SECCOMP_RET_ALLOW, { 0 } },
	{ SYS_exit_group, SECCOMP_RET_ALLOW, { 0 } },
	{ SYS_futex, SECCOMP_RET_ALLOW, { 0 } },
	{ SYS_rseq, SECCOMP_RET_ALLOW, { 0 } },
	{ SYS_ptrace, SECCOMP_RET_ALLOW, { 0 } },
	{ SYS_process_vm_readv, SECCOMP_RET_ALLOW, { 0 } },
	{ SYS_memfd_create, SECCOMP_RET_ALLOW, { 0 } },
	{ SYS_seccomp, SECCOMP_RET_ALLOW, { 0 } },
	{ SYS_landlock_restrict_self, SECCOMP_RET_ALLOW, { 0 } },
	{ SYS_setresuid, SECCOMP_RET_ALLOW, { 1000, 1000, 1000 } },
	{ SYS_chroot, SECCOMP_RET_ALLOW, { 0 } },
	{ SYS_clone, SECCOMP_RET_ALLOW, { 0x3d0f00 } }, /* a thread */
	{ SYS_clone, ERRNO(EPERM), { CLONE_NEWUSER | 17 } },
	{ SYS_clone3, ERRNO(ENOSYS), { 0 } },
	{ SYS_unshare, SECCOMP_RET_ALLOW, { CLONE_FILES } },
	{ SYS_unshare, ERRNO(EPERM), { CLONE_NEWNS } },
	{ SYS_setns, ERRNO(EPERM), { 0 } },
	{ SYS_mount, ERRNO(EPERM), { 0 } },
	{ SYS_umount2, ERRNO(EPERM), { 0 } },
	{ SYS_pivot_root, ERRNO(EPERM), { 0 } },
	{ SYS_fsopen, ERRNO(EPERM), { 0 } },
	{ SYS_open_tree, ERRNO(EPERM), { 0 } },
	{ SYS_move_mount, ERRNO(EPERM), { 0 } },
	{ SYS_mount_setattr, ERRNO(EPERM), { 0 } },
	{ SYS_bpf, ERRNO(EPERM), { 0 } },
	{ SYS_perf_event_open, ERRNO(EPERM), { 0 } },
	{ SYS_keyctl, ERRNO(EPERM), { 0 } },
	{ SYS_add_key, ERRNO(EPERM), { 0 } },
	{ SYS_request_key, ERRNO(EPERM), { 0 } },
	{ SYS_io_uring_setup, ERRNO(ENOSYS), { 0 } },
	{ SYS_io_uring_enter, ERRNO(ENOSYS), { 0 } },
	{ SYS_io_uring_register, ERRNO(ENOSYS), { 0 } },
	{ SYS_userfaultfd, ERRNO(ENOSYS), { 0 } },
	{ SYS_init_module, ERRNO(EPERM), { 0 } },
	{ SYS_open_by_handle_at, ERRNO(EPERM), { 0 } },
	{ SYS_pidfd_getfd, ERRNO(EPERM), { 0 } },
	{ SYS_kcmp, ERRNO(EPERM), { 0 } },
	{ SYS_ioctl, ERRNO(EPERM), { 0, TIOCSTI } },
	{ SYS_ioctl, ERRNO(EPERM), { 0, 0x100000000 | TIOCSTI } },
	{ SYS_ioctl, SECCOMP_RET_ALLOW, { 0, TIOCGWINSZ } },
	{ SYS_socket, ERRNO(EAFNOSUPPORT), { 38, SOCK_SEQPACKET, 0 } },
	{ SYS_socket, ERRNO(EAFNOSUPPORT), { 40, SOCK_STREAM, 0 } },
	{ SYS_socket, ERRNO(EPROTONOSUPPORT), { AF_INET, SOCK_STREAM, 262 } },
	{ SYS_socketpair, SECCOMP_RET_ALLOW, { AF_UNIX, SOCK_SEQPACKET, 0 } },
	{ SYS_socketpair, ERRNO(EAFNOSUPPORT), { 30, SOCK_STREAM, 0 } },
};

/* The program that a box gets on this machine. */
static void native(struct program *p, bool pretend, bool nested)
{
	struct sock_fprog prog;

	seccomp_program(pretend, nested, &prog);
	assert_in_range(prog.len, 100, 250);
#if defined(__x86_64__)
	p->v.arch = SECCOMP_X86_64;
#else
	p->v.arch = SECCOMP_ARM64;
#endif
	p->v.pretend = pretend;
	p->v.nested = nested;
	p->n = prog.len;
	memcpy(p->insn, prog.filter, prog.len * sizeof(*prog.filter));
}

static void test_known_calls(void **state)
{
	struct program p;

	(void)state;
	native(&p, false, false);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		uint64_t a[6] = { known[i].args[0], known[i].args[1], known[i].args[2] };

		if (ask(&p, (uint32_t)known[i].nr, a) != known[i].answer)
			fail_msg("call %ld (entry %zu) answers %#x", known[i].nr, i,
				 ask(&p, (uint32_t)known[i].nr, a));
	}
}

/* The kernel takes the program, and it does what the interpreter says. */
static void test_kernel_takes_it(void **state)
{
	struct sock_fprog prog;
	int status = 0;
	pid_t pid;

	(void)state;
	seccomp_program(false, false, &prog);
	pid = fork();
	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) != 0)
			_exit(1);
		if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != SECCOMP_MODE_FILTER)
			_exit(2);
		if (syscall(SYS_io_uring_setup, 1, NULL) != -1 || errno != ENOSYS)
			_exit(3);
		if (socket(38, SOCK_SEQPACKET, 0) != -1 || errno != EAFNOSUPPORT)
			_exit(4);
		if (unshare(CLONE_NEWUSER) != -1 || errno != EPERM)
			_exit(5);
		if (syscall(SECCOMP_NR_LAST + 1) != -1 || errno != ENOSYS)
			_exit(6);
		_exit(getpid() > 1 ? 0 : 7);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_bounding_set(void **state)
{
	/* By number: the kernel's ABI, SECURITY.md section 5.4. */
	static const int in[] = { 0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 29, 31 };
	uint64_t want = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(in); i++)
		want |= 1ULL << in[i];
	assert_int_equal(confine_bounding_set(), want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_shape),
		cmocka_unit_test(test_too_small),
		cmocka_unit_test(test_answers_follow_the_table),
		cmocka_unit_test(test_nothing_above_the_ceiling),
		cmocka_unit_test(test_foreign_architectures),
		cmocka_unit_test(test_known_calls),
		cmocka_unit_test(test_kernel_takes_it),
		cmocka_unit_test(test_bounding_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
