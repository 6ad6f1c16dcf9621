/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ia32: a 32-bit program without a C library that opens a socket by socketcall(2), whose arguments
 * a filter cannot see.  Its exit status: 42 when it got the socket of AF_VSOCK, 43 when it got one
 * of AF_UNIX only, 44 when it got none but exit(2) works.  Built with -m32 -nostdlib.
 */
static long call(long nr, long a, const long *b)
{
	long r;

	__asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(a), "c"(b) : "memory");
	return r;
}

void _start(void);
void _start(void)
{
	static const long vsock[3] = { 40, 1, 0 };
	static const long local[3] = { 1, 1, 0 };
	long status = 44;

	if (call(102, 1, local) >= 0)
		status = 43;
	if (call(102, 1, vsock) >= 0)
		status = 42;
	call(1, status, 0);
	__builtin_trap();
}
