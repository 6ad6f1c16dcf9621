/* SPDX-License-Identifier: Apache-2.0 */
/*
 * devices: terminals, keys, io_uring: things of the kernel that are not files and not processes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "attack.h"

/* --- tty: type into the terminal -----------------------------------------------------------------
 */

/* The request number with bits above 32 set is the same request to the kernel. */
static int tty(int argc, char **argv)
{
	static const unsigned long high[] = { 0, 0x100000000UL, 0xdead000000000000UL };
	const char *text = argc > 1 ? argv[1] : "x";
	static const char paste[] = { 3 };
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	int worked = 0;

	if (fd < 0)
		fd = 0;
	for (size_t h = 0; h < sizeof(high) / sizeof(high[0]); h++) {
		int got = 0;

		for (const char *c = text; *c != '\0'; c++)
			got += syscall(SYS_ioctl, fd, high[h] | 0x5412UL, c) == 0;
		worked += report("TIOCSTI", got > 0 ? 0 : -1);
		worked += report("TIOCLINUX", syscall(SYS_ioctl, fd, high[h] | 0x541CUL, paste));
	}
	return worked > 0 ? 0 : 1;
}

/* Put the terminal into raw mode and die without restoring it. */
static int raw(int argc, char **argv)
{
	struct termios t;

	(void)argc;
	(void)argv;
	if (tcgetattr(0, &t) != 0)
		return 1;
	cfmakeraw(&t);
	if (tcsetattr(0, TCSANOW, &t) != 0)
		return 1;
	return raise(SIGKILL);
}

/* --- keys ----------------------------------------------------------------------------------------
 */

static long keyctl(int op, unsigned long a, unsigned long b, unsigned long c)
{
	return syscall(SYS_keyctl, op, a, b, c, 0UL);
}

#define PTR(p) ((unsigned long)(uintptr_t)(p))

/* As a login would have: a session keyring with a secret in it, for the command; its number is in
 * WARD_TEST_KEY. */
static int with_key(int argc, char **argv)
{
	char number[32];
	long key;

	if (argc < 3 || keyctl(KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0) < 0)
		return 2;
	key = syscall(SYS_add_key, "user", "wardkey", argv[1], strlen(argv[1]),
		      (unsigned long)KEY_SPEC_SESSION_KEYRING);
	if (key < 0)
		return 2;
	/* For every user of the ids that are ours: readable by number, without possession. */
	keyctl(KEYCTL_SETPERM, (unsigned long)key, 0x3f3f0000, 0);
	(void)snprintf(number, sizeof(number), "%ld", key);
	if (setenv("WARD_TEST_KEY", number, 1) != 0)
		return 2;
	execvp(argv[2], argv + 2);
	return 127;
}

static int keys(int argc, char **argv)
{
	char secret[128] = "";
	unsigned long key = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	long found;
	int worked = 0;

	worked += report("session keyring", keyctl(KEYCTL_GET_KEYRING_ID,
						   (unsigned long)KEY_SPEC_SESSION_KEYRING, 0, 0));
	if (report("read by number", keyctl(KEYCTL_READ, key, PTR(secret), sizeof(secret) - 1))) {
		printf("secret %s\n", secret);
		worked++;
	}
	found = keyctl(KEYCTL_SEARCH, (unsigned long)KEY_SPEC_SESSION_KEYRING, PTR("user"),
		       PTR("wardkey"));
	if (report("search the session", found) &&
	    keyctl(KEYCTL_READ, (unsigned long)found, PTR(secret), sizeof(secret) - 1) >= 0) {
		printf("secret %s\n", secret);
		worked++;
	}
	worked += report("request_key", syscall(SYS_request_key, "user", "wardkey", NULL, 0));
	worked += report("add_key", syscall(SYS_add_key, "user", "mine", "x", 1UL,
					    (unsigned long)KEY_SPEC_PROCESS_KEYRING));
	return worked > 0 ? 0 : 1;
}

/* --- io_uring: a socket without socket(2)
 * ----------------------------------------------------------- */

/* The few words of the rings that one request needs, at the offsets that the kernel returned. */
struct ring_params {
	uint32_t entries[2], flags, cpu, idle, features, wq, reserved[3];
	uint32_t sq[10]; /* head tail mask entries flags dropped array ... */
	uint32_t cq[10];
};

static uint32_t *word(void *base, uint32_t offset)
{
	return (uint32_t *)(void *)((char *)base + offset);
}

static int uring(int argc, char **argv)
{
	struct ring_params p = { 0 };
	unsigned char *sqe, *sq, *cq;
	uint32_t tail;
	int ring = (int)syscall(425, 4, &p);
	int32_t result;

	(void)argc;
	(void)argv;
	if (!report("io_uring_setup", ring))
		return 1;
	sq = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, 0);
	cq = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, 0x8000000);
	sqe = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, 0x10000000);
	if (sq == MAP_FAILED || cq == MAP_FAILED || sqe == MAP_FAILED)
		return 1;
	memset(sqe, 0, 64);
	sqe[0] = 45;		     /* IORING_OP_SOCKET */
	*word(sqe, 4) = 40;	     /* fd: the family, AF_VSOCK */
	*word(sqe, 8) = SOCK_STREAM; /* off: the type */
	tail = *word(sq, p.sq[1]);
	*word(sq, p.sq[6]) = 0;
	__atomic_store_n(word(sq, p.sq[1]), tail + 1, __ATOMIC_RELEASE);
	if (!report("io_uring_enter", syscall(426, ring, 1, 1, 1, 0, 0)))
		return 1;
	result = (int32_t)*word(cq, p.cq[5] + 8);
	errno = result < 0 ? -result : 0;
	return report("socket by io_uring", result) ? 0 : 1;
}

const struct attack device_attacks[] = {
	{ "tty", "tty [TEXT]                   type TEXT into the terminal", tty },
	{ "raw", "raw                          leave the terminal raw", raw },
	{ "with-key", "with-key SECRET COMMAND...   run COMMAND with a key in its session",
	  with_key },
	{ "keys", "keys [NUMBER]                read the key", keys },
	{ "uring", "uring                        open a socket by io_uring", uring },
	{ NULL, NULL, NULL },
};
