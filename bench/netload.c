/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netload: both ends of what bench/network measures.
 *
 *   netload serve PORT                 on 127.0.0.1; runs until it is killed
 *   netload up|down HOST PORT BYTES    one stream: Gbit/s
 *   netload connect HOST PORT N        connect, one byte there and back, close: median and p90, us
 *   netload request HOST PORT N        one byte there and back on one connection: the same
 *   netload rate HOST PORT N WORKERS   connect as often as it goes: connections a second
 *   netload idle HOST PORT N           open N, say so, and wait for the end of stdin
 *   netload hold HOST PORT             wait until the other side ends the connection
 *   netload refused HOST PORT N        look up, connect and read until it fails: median and p90, us
 *
 * The first byte of a connection says what is wanted: U the server reads, D it writes, E it echoes
 * once, R until the end, I nothing.  With PROXY=ADDRESS:PORT in the environment clients ask that
 * proxy (CONNECT).
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 256 * 1024, WORKERS_MAX = 64, SERVERS = 4 };

static struct sockaddr_storage target;
static socklen_t target_size;
static char connect_head[512]; /* for the proxy; "": there is none */
static char block[BLOCK];

static void die(const char *what)
{
	fprintf(stderr, "netload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* --- server ---------------------------------------------------------------------------------- */

static void *stream(void *arg)
{
	int fd = (int)(intptr_t)arg;
	static __thread char sink[BLOCK];
	char what = 'D';

	recv(fd, &what, 1, 0);
	if (what == 'U') {
		while (recv(fd, sink, sizeof(sink), 0) > 0)
			;
		send(fd, "k", 1, MSG_NOSIGNAL);
	} else if (what == 'R') {
		while (recv(fd, &what, 1, 0) == 1)
			send(fd, &what, 1, MSG_NOSIGNAL);
	} else {
		while (send(fd, block, sizeof(block), MSG_NOSIGNAL) > 0)
			;
	}
	close(fd);
	return NULL;
}

static void *accept_all(void *arg)
{
	int listener = (int)(intptr_t)arg;

	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		pthread_t thread;
		char what;

		if (fd < 0)
			continue;
		/* Idle ones say nothing for long: they must not hold up the others. */
		if (recv(fd, &what, 1, MSG_PEEK | MSG_DONTWAIT) == 1 || errno == EAGAIN) {
			struct timeval wait = { .tv_usec = 200000 };

			setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
			if (recv(fd, &what, 1, MSG_PEEK) == 1 && what == 'E') {
				recv(fd, &what, 1, 0);
				send(fd, &what, 1, MSG_NOSIGNAL);
				close(fd);
				continue;
			}
			if (what == 'I')
				continue; /* left open */
			wait.tv_usec = 0;
			setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
			pthread_create(&thread, NULL, stream, (void *)(intptr_t)fd);
			pthread_detach(thread);
		}
	}
	return NULL;
}

static void raise_limit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void serve(uint16_t port)
{
	const struct sockaddr_in a = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	pthread_t thread;

	raise_limit();
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&a, sizeof(a)) != 0 || listen(fd, 4096) != 0)
		die("listen");
	for (int i = 1; i < SERVERS; i++)
		pthread_create(&thread, NULL, accept_all, (void *)(intptr_t)fd);
	accept_all((void *)(intptr_t)fd);
}

/* --- client ---------------------------------------------------------------------------------- */

/* The head of the proxy's answer; false when that is no 200. */
static bool ask_proxy(int fd)
{
	char head[4096];
	size_t n = 0;

	if (connect_head[0] == '\0')
		return true;
	send(fd, connect_head, strlen(connect_head), MSG_NOSIGNAL);
	while (n < sizeof(head) && (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0)) {
		if (recv(fd, head + n, 1, 0) != 1)
			return false;
		n++;
	}
	return n > 12 && memcmp(head + 9, "200", 3) == 0;
}

/* A socket, or -1. */
static int try_dial(void)
{
	int fd = socket(target.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (fd < 0 || connect(fd, (const struct sockaddr *)&target, target_size) != 0 ||
	    !ask_proxy(fd)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int dial(void)
{
	int fd = try_dial();

	if (fd < 0)
		die("connect");
	return fd;
}

static void move(bool up, uint64_t bytes)
{
	int fd = dial();
	uint64_t done = 0;
	double start = now();
	char last;

	send(fd, up ? "U" : "D", 1, 0);
	while (done < bytes) {
		ssize_t n =
			up ? send(fd, block, sizeof(block), 0) : recv(fd, block, sizeof(block), 0);

		if (n <= 0)
			die("stream");
		done += (uint64_t)n;
	}
	if (up) {
		shutdown(fd, SHUT_WR);
		if (recv(fd, &last, 1, 0) != 1)
			die("the end of the stream");
	}
	printf("%.2f\n", (double)done * 8 / (now() - start) / 1e9);
}

static void echo(void)
{
	int fd = dial();
	char c = 'E';

	if (send(fd, &c, 1, 0) != 1 || recv(fd, &c, 1, 0) != 1)
		die("echo");
	close(fd);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Median and 90th percentile of how long n calls take. */
static void timed(void (*call)(void *arg), void *arg, size_t n)
{
	double *took = calloc(n, sizeof(*took));

	for (size_t i = 0; i < n; i++) {
		double start = now();

		call(arg);
		took[i] = (now() - start) * 1e6;
	}
	qsort(took, n, sizeof(*took), compare);
	printf("%.0f %.0f\n", took[n / 2], took[n * 9 / 10]);
	free(took);
}

static void once(void *arg)
{
	(void)arg;
	echo();
}

static void again(void *arg)
{
	int fd = *(const int *)arg;
	char c = 'x';

	if (send(fd, &c, 1, 0) != 1 || recv(fd, &c, 1, 0) != 1)
		die("request");
}

static void request(size_t n)
{
	int fd = dial();

	send(fd, "R", 1, 0);
	timed(again, &fd, n);
}

static bool look_up(const char *host, const char *port)
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *list;

	if (getaddrinfo(host, port, &hints, &list) != 0)
		return false;
	memcpy(&target, list->ai_addr, list->ai_addrlen);
	target_size = list->ai_addrlen;
	freeaddrinfo(list);
	return true;
}

/* Where to connect to: the host, or the proxy that is asked for it. */
static bool find(const char *host, const char *port)
{
	const char *proxy = getenv("PROXY"), *colon = proxy ? strrchr(proxy, ':') : NULL;
	char address[64];

	if (colon == NULL)
		return look_up(host, port);
	snprintf(address, sizeof(address), "%.*s", (int)(colon - proxy), proxy);
	snprintf(connect_head, sizeof(connect_head),
		 "CONNECT %s:%s HTTP/1.1\r\nHost: %s:%s\r\n\r\n", host, port, host, port);
	return look_up(address, colon + 1);
}

static void refuse(void *arg)
{
	char *const *host_port = arg;
	char c;
	int fd;

	if (!find(host_port[0], host_port[1]))
		return;
	fd = try_dial();
	if (fd < 0)
		return;
	if (recv(fd, &c, 1, 0) > 0) {
		fprintf(stderr, "netload: %s is not refused\n", host_port[0]);
		exit(1);
	}
	close(fd);
}

/* Until the other side ends it. */
static void hold(void)
{
	int fd = dial();
	char c = 'I';

	send(fd, &c, 1, 0);
	puts("open");
	fflush(stdout);
	while (recv(fd, &c, 1, 0) > 0)
		;
}

static size_t each;

static void *work(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < each; i++)
		echo();
	return NULL;
}

static void rate(size_t n, size_t workers)
{
	pthread_t threads[WORKERS_MAX];
	double start = now();

	each = n / workers;
	for (size_t i = 0; i < workers; i++)
		pthread_create(&threads[i], NULL, work, NULL);
	for (size_t i = 0; i < workers; i++)
		pthread_join(threads[i], NULL);
	printf("%.0f\n", (double)(each * workers) / (now() - start));
}

static void idle(size_t n)
{
	raise_limit();
	for (size_t i = 0; i < n; i++)
		send(dial(), "I", 1, 0);
	puts("open");
	fflush(stdout);
	while (getchar() != EOF)
		;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	uint64_t n = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;

	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && strcmp(verb, "serve") == 0)
		serve((uint16_t)strtoul(argv[2], NULL, 10));
	if (argc < 4) {
		fprintf(stderr, "usage: netload VERB HOST PORT [N]: see its source\n");
		return 2;
	}
	if (strcmp(verb, "refused") == 0) {
		timed(refuse, argv + 2, n);
		return 0;
	}
	if (!find(argv[2], argv[3]))
		die("no such host");
	if (strcmp(verb, "up") == 0 || strcmp(verb, "down") == 0)
		move(verb[0] == 'u', n);
	else if (strcmp(verb, "connect") == 0)
		timed(once, NULL, n);
	else if (strcmp(verb, "request") == 0)
		request(n);
	else if (strcmp(verb, "rate") == 0)
		rate(n, argc > 5 ? strtoul(argv[5], NULL, 10) : 8);
	else if (strcmp(verb, "idle") == 0)
		idle(n);
	else if (strcmp(verb, "hold") == 0)
		hold();
	return 0;
}
