/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls: what the kernel answers.
 *
 * `probe` asks the calls that matter for isolation, one line each:
 *   allowed          it succeeded
 *   denied ERRNO     refused by the filter or for want of permission
 *   reached          let through; only our deliberately invalid arguments were rejected
 *   killed
 * Every privileged call is invalid by construction or acts on a child of its own.  `sweep` makes
 * every call from 0 to 511 with arguments of zero.  Both refuse to run as root of the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/msg.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

/* Numbers by hand: the build machine's headers may be older than the kernel. */
enum {
	NR_open_tree = 428,
	NR_move_mount = 429,
	NR_fsopen = 430,
	NR_fsconfig = 431,
	NR_fsmount = 432,
	NR_fspick = 433,
	NR_pidfd_open = 434,
	NR_clone3 = 435,
	NR_pidfd_getfd = 438,
	NR_io_uring_setup = 425,
	NR_io_uring_enter = 426,
	NR_io_uring_register = 427,
	NR_mount_setattr = 442,
	NR_quotactl_fd = 443,
	NR_landlock_create = 444,
	NR_memfd_secret = 447,
	NR_cachestat = 451,
	NR_fchmodat2 = 452,
	NR_statmount = 457,
	NR_lsm_set_self_attr = 460,
	NR_mseal = 462,
	NR_open_tree_attr = 467,
	NR_listns = 470,
	NR_unknown = 511
};

struct call {
	const char *name;
	long nr;
	unsigned long a[6];
};
#define PTR(p) ((unsigned long)(uintptr_t)(p))

static uint32_t bpf_map[16] = { 2, 4, 4, 1 };
static uint32_t perf_attr[32] = { 0, 128 };
static char scratch[512];
static uint32_t adjtimex_set[64] = { 1 };

/* clang-format off */
static const struct call plain[] = {
	{ "unshare(NEWUSER)", SYS_unshare, { CLONE_NEWUSER } },
	{ "unshare(NEWUSER|NEWNS|NEWNET)", SYS_unshare, { CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET } },
	{ "unshare(NEWNS)", SYS_unshare, { CLONE_NEWNS } },
	{ "unshare(NEWNET)", SYS_unshare, { CLONE_NEWNET } },
	{ "unshare(NEWPID)", SYS_unshare, { CLONE_NEWPID } },
	{ "unshare(NEWCGROUP)", SYS_unshare, { CLONE_NEWCGROUP } },
	{ "unshare(NEWTIME)", SYS_unshare, { 0x80 } },
	{ "unshare(FILES)", SYS_unshare, { CLONE_FILES } },
	{ "mount(tmpfs)", SYS_mount, { PTR("t"), PTR("/dev/null"), PTR("tmpfs") } },
	{ "mount(remount)", SYS_mount, { 0, PTR("/proc/self"), 0, 0x1020 } },
	{ "umount2", SYS_umount2, { PTR("/proc/self"), 0 } },
	{ "fsopen(tmpfs)", NR_fsopen, { PTR("tmpfs") } },
	{ "fsconfig", NR_fsconfig, { -1UL, 6 } },
	{ "fsmount", NR_fsmount, { -1UL } },
	{ "fspick", NR_fspick, { -1UL, PTR("") } },
	{ "open_tree(CLONE)", NR_open_tree, { AT_FDCWD, PTR("/"), 1 } },
	{ "open_tree_attr", NR_open_tree_attr, { AT_FDCWD, PTR("/"), 1 } },
	{ "move_mount", NR_move_mount, { -1UL, PTR(""), -1UL, PTR(""), 4 } },
	{ "mount_setattr", NR_mount_setattr, { AT_FDCWD, PTR("/proc/self"), 0, PTR(scratch), 32 } },
	{ "pivot_root", SYS_pivot_root, { PTR("."), PTR(".") } },
	{ "chroot(/)", SYS_chroot, { PTR("/") } },
	{ "setns(-1)", SYS_setns, { -1UL, CLONE_NEWNS } },
	{ "sethostname", SYS_sethostname, { PTR("x"), 1 } },
	{ "open_by_handle_at", SYS_open_by_handle_at, { AT_FDCWD } },
	{ "bpf(MAP_CREATE)", SYS_bpf, { 0, PTR(bpf_map), sizeof(bpf_map) } },
	{ "perf_event_open", SYS_perf_event_open, { PTR(perf_attr), 0, -1UL, -1UL } },
	{ "userfaultfd", SYS_userfaultfd, { 1 } },
	{ "io_uring_setup", NR_io_uring_setup, { 1, PTR(scratch) } },
	{ "io_uring_enter", NR_io_uring_enter, { -1UL } },
	{ "io_uring_register", NR_io_uring_register, { -1UL } },
	{ "keyctl(session)", SYS_keyctl, { 0, -3UL } },
	{ "add_key", SYS_add_key, { PTR("user"), PTR("attack"), PTR("x"), 1, -2UL } },
	{ "request_key", SYS_request_key, { PTR("user"), PTR("attack"), 0, -2UL } },
	{ "ptrace(SEIZE,1)", SYS_ptrace, { PTRACE_SEIZE, 1 } },
	{ "kcmp(1,1)", SYS_kcmp, { 1, 1 } },
	{ "pidfd_getfd", NR_pidfd_getfd, { -1UL } },
	{ "kexec_load", SYS_kexec_load, { 0 } },
	{ "init_module", SYS_init_module, { 0, 0, PTR("") } },
	{ "finit_module", SYS_finit_module, { -1UL, PTR("") } },
	{ "delete_module", SYS_delete_module, { PTR("") } },
	{ "swapon", SYS_swapon, { PTR("/nonexistent") } },
	{ "swapoff", SYS_swapoff, { PTR("/nonexistent") } },
	{ "reboot(bad magic)", SYS_reboot, { 1, 2 } },
	{ "settimeofday", SYS_settimeofday, { 0 } },
	{ "clock_settime", SYS_clock_settime, { 0, 0 } },
	{ "adjtimex(set)", SYS_adjtimex, { PTR(adjtimex_set) } },
	{ "acct", SYS_acct, { PTR("/nonexistent") } },
	{ "quotactl", SYS_quotactl, { 0 } },
	{ "quotactl_fd", NR_quotactl_fd, { -1UL } },
	{ "syslog(READ_ALL)", SYS_syslog, { 3, PTR(scratch), 8 } },
	{ "vhangup", SYS_vhangup, { 0 } },
	{ "fanotify_init", SYS_fanotify_init, { 0 } },
	{ "lsm_set_self_attr", NR_lsm_set_self_attr, { 0 } },
	{ "listns", NR_listns, { 0 } },
	{ "clone3(bad size)", NR_clone3, { PTR(scratch), 1 } },
	{ "memfd_secret", NR_memfd_secret, { 0 } },
	{ "personality(READ_IMPLIES_EXEC)", SYS_personality, { 0x0400000 } },
	{ "personality(ADDR_NO_RANDOMIZE)", SYS_personality, { 0x0040000 } },
	{ "prctl(SET_MM)", SYS_prctl, { PR_SET_MM, PR_SET_MM_START_BRK, 0 } },
	{ "mknod(char)", SYS_mknodat, { AT_FDCWD, PTR("/tmp/.attack-node"), S_IFCHR | 0600, 0x101 } },
	{ "mknod(block)", SYS_mknodat, { AT_FDCWD, PTR("/tmp/.attack-node"), S_IFBLK | 0600, 0x800 } },
	{ "socket(UNIX)", SYS_socket, { AF_UNIX, SOCK_STREAM } },
	{ "socket(INET tcp)", SYS_socket, { AF_INET, SOCK_STREAM } },
	{ "socket(INET udp)", SYS_socket, { AF_INET, SOCK_DGRAM } },
	{ "socket(INET6 tcp)", SYS_socket, { AF_INET6, SOCK_STREAM } },
	{ "socket(INET raw)", SYS_socket, { AF_INET, SOCK_RAW, 1 } },
	{ "socket(INET6 raw)", SYS_socket, { AF_INET6, SOCK_RAW, 58 } },
	{ "socket(INET SOCK_PACKET)", SYS_socket, { AF_INET, SOCK_PACKET, 0x300 } },
	{ "socket(SCTP)", SYS_socket, { AF_INET, SOCK_STREAM, 132 } },
	{ "socket(DCCP)", SYS_socket, { AF_INET, SOCK_DCCP, 33 } },
	{ "socket(MPTCP)", SYS_socket, { AF_INET, SOCK_STREAM, 262 } },
	{ "socket(SMC by INET)", SYS_socket, { AF_INET, SOCK_STREAM, 256 } },
	{ "socket(L2TP)", SYS_socket, { AF_INET, SOCK_DGRAM, 115 } },
	{ "socket(PACKET)", SYS_socket, { AF_PACKET, SOCK_RAW } },
	{ "socket(NETLINK route)", SYS_socket, { AF_NETLINK, SOCK_RAW, 0 } },
	{ "socket(NETLINK sock_diag)", SYS_socket, { AF_NETLINK, SOCK_RAW, 4 } },
	{ "socket(NETLINK xfrm)", SYS_socket, { AF_NETLINK, SOCK_RAW, 6 } },
	{ "socket(NETLINK audit)", SYS_socket, { AF_NETLINK, SOCK_RAW, 9 } },
	{ "socket(NETLINK netfilter)", SYS_socket, { AF_NETLINK, SOCK_RAW, 12 } },
	{ "socket(NETLINK uevent)", SYS_socket, { AF_NETLINK, SOCK_DGRAM, 15 } },
	{ "socket(NETLINK generic)", SYS_socket, { AF_NETLINK, SOCK_RAW, 16 } },
	{ "socket(NETLINK crypto)", SYS_socket, { AF_NETLINK, SOCK_RAW, 21 } },
	{ "socket(ALG)", SYS_socket, { 38, SOCK_SEQPACKET } },
	{ "socket(VSOCK)", SYS_socket, { 40, SOCK_STREAM } },
	{ "socket(RXRPC)", SYS_socket, { 33, SOCK_DGRAM, 2 } },
	{ "socket(TIPC)", SYS_socket, { 30, SOCK_STREAM } },
	{ "socket(KCM)", SYS_socket, { 41, SOCK_DGRAM } },
	{ "socket(XDP)", SYS_socket, { 44, SOCK_RAW } },
	{ "socket(SMC)", SYS_socket, { 43, SOCK_STREAM } },
	{ "socket(BLUETOOTH)", SYS_socket, { 31, SOCK_RAW, 1 } },
	{ "socket(VSOCK|1<<32)", SYS_socket, { 0x100000000UL | 40, SOCK_STREAM } },
	{ "socketpair(TIPC)", SYS_socketpair, { 30, SOCK_STREAM, 0, PTR(scratch) } },
	{ "ioctl(TIOCSTI)", SYS_ioctl, { 0, 0x5412, PTR("x") } },
	{ "ioctl(TIOCSTI|1<<32)", SYS_ioctl, { 0, 0x100005412, PTR("x") } },
	{ "ioctl(TIOCLINUX)", SYS_ioctl, { 0, 0x541C, PTR("\x0c") } },
	{ "ioctl(TIOCSETD)", SYS_ioctl, { 0, 0x5423, PTR(scratch) } },
	{ "ioctl(FIFREEZE)", SYS_ioctl, { 0, 0xC0045877, 0 } },
	{ "call 511", NR_unknown, { 0 } },
#ifdef __x86_64__
	{ "x32 getpid", 0x40000000L + 39, { 0 } },
	{ "iopl(3)", SYS_iopl, { 3 } },
	{ "ioperm", SYS_ioperm, { 0x80, 1, 1 } },
#endif
	/* What programs need. */
	{ "ptrace(TRACEME)", SYS_ptrace, { PTRACE_TRACEME } },
	{ "memfd_create", SYS_memfd_create, { PTR("x") } },
	{ "landlock(abi)", NR_landlock_create, { 0, 0, 1 } },
	{ "pidfd_open(self)", NR_pidfd_open, { 0 } },
	{ "name_to_handle_at", SYS_name_to_handle_at, { AT_FDCWD, PTR("/"), 0 } },
	{ "cachestat", NR_cachestat, { -1UL } },
	{ "fchmodat2", NR_fchmodat2, { -1UL, PTR("") } },
	{ "statmount", NR_statmount, { 0 } },
	{ "mseal", NR_mseal, { 1 } },
	{ "membarrier(query)", SYS_membarrier, { 0 } },
	{ "sched_setaffinity", SYS_sched_setaffinity, { 0, 0, 0 } },
};
/* clang-format on */

static long make_call(const void *arg)
{
	const struct call *c = arg;

	errno = 0;
	return syscall(c->nr, c->a[0], c->a[1], c->a[2], c->a[3], c->a[4], c->a[5]);
}

static long clone_newuser(const void *arg)
{
	(void)arg;
	long r = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

	if (r == 0)
		_exit(0);
	return r;
}

static long clone3_newuser(const void *arg)
{
	uint64_t a[11] = { CLONE_NEWUSER, 0, 0, 0, SIGCHLD };
	long r = syscall(NR_clone3, a, sizeof(a));

	(void)arg;
	if (r == 0)
		_exit(0);
	return r;
}

static long setns_of_init(const void *arg)
{
	int fd = open(arg, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -1 : setns(fd, 0);
}

static long own_filter(const void *arg)
{
	struct sock_filter allow = { .code = BPF_RET | BPF_K, .k = SECCOMP_RET_ALLOW };
	struct sock_fprog p = { .len = 1, .filter = &allow };

	(void)arg;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -1;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p);
}

/* In a child of its own: a 32-bit call may end the process. */
static long int80(const void *arg)
{
#ifdef __x86_64__
	const long *nr_and_arg = arg;
	long r;

	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "a"(nr_and_arg[0]), "b"(nr_and_arg[1]), "c"(0), "d"(0)
			 : "memory", "r8", "r9", "r10", "r11");
	if (r < 0 && r > -4096) {
		errno = (int)-r;
		return -1;
	}
	return r;
#else
	(void)arg;
	errno = ENOSYS;
	return -1;
#endif
}

static const long int80_getpid[] = { 20, 0 };
static const long int80_socketcall[] = { 102, 1 };

static const struct {
	const char *name;
	long (*f)(const void *);
	const void *arg;
} special[] = {
	{ "clone(NEWUSER)", clone_newuser, NULL },
	{ "clone3(NEWUSER)", clone3_newuser, NULL },
	{ "setns(/proc/1/ns/mnt)", setns_of_init, "/proc/1/ns/mnt" },
	{ "setns(/proc/1/ns/user)", setns_of_init, "/proc/1/ns/user" },
	{ "setns(/proc/1/ns/net)", setns_of_init, "/proc/1/ns/net" },
	{ "seccomp(own filter)", own_filter, NULL },
	{ "int80 getpid", int80, int80_getpid },
	{ "int80 socketcall", int80, int80_socketcall },
};

static void print_probe(const char *name, long r)
{
	static const int denials[] = { EPERM,	     EACCES,	      ENOSYS,
				       EAFNOSUPPORT, EPROTONOSUPPORT, ESOCKTNOSUPPORT,
				       ENOSPC,	     ENXIO,	      EROFS };

	if (r < 0 && errno == EINTR) {
		printf("%-34s killed\n", name);
		return;
	}
	for (size_t i = 0; r < 0 && i < sizeof(denials) / sizeof(denials[0]); i++) {
		if (errno == denials[i]) {
			printf("%-34s denied %s\n", name, answer(r));
			return;
		}
	}
	printf("%-34s %s\n", name, r < 0 ? "reached" : "allowed");
}

/* Is this the user namespace of the host, and we its root? Then invalid arguments are the only
 * thing that keeps the machine safe: not good enough. */
static int host_root(void)
{
	unsigned inside = 1, outside = 1, count = 0;
	FILE *f = fopen("/proc/self/uid_map", "r");
	int n = f == NULL ? 0 : fscanf(f, "%u %u %u", &inside, &outside, &count);

	if (f != NULL)
		fclose(f);
	if (geteuid() != 0 || (n == 3 && (outside != 0 || count != UINT32_MAX)))
		return 0;
	fprintf(stderr, "attack: not as root of the host\n");
	return 1;
}

static int probe(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	if (host_root())
		return 2;
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		print_probe(plain[i].name, in_child(make_call, &plain[i]));
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		print_probe(special[i].name, in_child(special[i].f, special[i].arg));
	unlink("/tmp/.attack-node");
	return 0;
}

/* --- sweep ------------------------------------------------------------------------------------ */

static inline long raw_call(long nr)
{
#if defined(__x86_64__)
	long r;
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;
	register long r9 __asm__("r9") = 0;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "a"(nr), "D"(0L), "S"(0L), "d"(0L), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return r;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = 0;
	register long x1 __asm__("x1") = 0;
	register long x2 __asm__("x2") = 0;
	register long x3 __asm__("x3") = 0;
	register long x4 __asm__("x4") = 0;
	register long x5 __asm__("x5") = 0;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
#else
#error "no raw system call for this architecture"
#endif
}

/* A call that waits for ever is ended by a timer; the others never see it. */
static void set_timer(long nr)
{
	static const long waiting[] = { SYS_pselect6,	    SYS_ppoll,	SYS_rt_sigsuspend,
#ifdef SYS_pause
					SYS_pause,	    SYS_select,
#endif
					SYS_rt_sigtimedwait };
	struct itimerval t = { .it_value = { .tv_sec = 10 } };

	for (size_t i = 0; i < sizeof(waiting) / sizeof(waiting[0]); i++) {
		if (nr == waiting[i])
			t.it_value = (struct timeval){ .tv_usec = 300000 };
	}
	setitimer(ITIMER_REAL, &t, NULL);
}

/* Descriptor 0 is a pipe of its own: a call such as fchmod(0, 0) must not hit a real file. The
 * result is stored before anything else, in the frame that a vfork child would share. */
static void sweep_child(long nr, int out)
{
	pid_t self = getpid();
	int in[2];
	long r;

	if (pipe(in) != 0 || dup2(in[0], 0) != 0)
		_exit(1);
	set_timer(nr);
	r = raw_call(nr);
	if (r >= 0 && nr == SYS_msgget)
		msgctl((int)r, IPC_RMID, NULL);
	if (nr != SYS_seccomp && getpid() != self)
		_exit(0);
	if (write(out, &r, sizeof(r)) != (ssize_t)sizeof(r))
		_exit(1);
	_exit(0);
}

static void sweep_one(long nr)
{
	int fd[2];
	int status = 0;
	long r = 0;
	ssize_t got;
	pid_t pid;

	if (pipe(fd) != 0)
		return;
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		sweep_child(nr, fd[1]);
	close(fd[1]);
	got = read(fd[0], &r, sizeof(r));
	close(fd[0]);
	waitpid(pid, &status, 0);
	errno = r < 0 ? (int)-r : 0;
	if (got == (ssize_t)sizeof(r))
		printf("%ld %s\n", nr, answer(r < 0 ? -1 : 0));
	else if (WIFSIGNALED(status))
		printf("%ld signal\n", nr);
	else
		printf("%ld exit\n", nr);
}

static int sweep(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	if (host_root())
		return 2;
	for (long nr = 0; nr < 512; nr++)
		sweep_one(nr);
	return 0;
}

/* --- layers ----------------------------------------------------------------------------------- */

/* The kernel stacks at most 16 Landlock domains: how many are still free tells how many there are.
 */
static int layers(int argc, char **argv)
{
	uint64_t ruleset[3] = { 1, 0, 0 }; /* handles the execution of files */
	int n = 0;
	long fd = syscall(NR_landlock_create, ruleset, sizeof(ruleset), 0);

	(void)argc;
	(void)argv;
	if (fd < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return 1;
	while (n < 64 && syscall(NR_landlock_create + 2, fd, 0) == 0)
		n++;
	printf("free layers: %d\n", n);
	return 0;
}

const struct attack calls_attacks[] = {
	{ "probe", "probe                        the calls that matter for isolation", probe },
	{ "sweep", "sweep                        every call with arguments of zero", sweep },
	{ "layers", "layers                       count Landlock domains", layers },
	{ NULL, NULL, NULL },
};
