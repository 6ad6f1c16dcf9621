/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netload: both ends of what bench/network measures.
 *
 *   netload serve PORT                    on 127.0.0.1; runs until it is killed
 *   netload up|down HOST PORT BYTES       one stream, Gbit/s
 *   netload latency HOST PORT N           connect, one byte there and back, close: median and p90,
 * us netload rate HOST PORT N WORKERS      the same as fast as it goes: connections a second
 *   netload idle HOST PORT N              open N, say so, and wait for the end of stdin
 *
 * The first byte of a connection says what is wanted: U the server reads, D it writes, E it echoes.
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

static void serve(uint16_t port)
{
	const struct sockaddr_in a = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	pthread_t thread;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&a, sizeof(a)) != 0 || listen(fd, 4096) != 0)
		die("listen");
	for (int i = 1; i < SERVERS; i++)
		pthread_create(&thread, NULL, accept_all, (void *)(intptr_t)fd);
	accept_all((void *)(intptr_t)fd);
}

/* --- client ---------------------------------------------------------------------------------- */

static int dial(void)
{
	int fd = socket(target.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || connect(fd, (const struct sockaddr *)&target, target_size) != 0)
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
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

static void latency(size_t n)
{
	double *took = calloc(n, sizeof(*took));

	for (size_t i = 0; i < n; i++) {
		double start = now();

		echo();
		took[i] = (now() - start) * 1e6;
	}
	qsort(took, n, sizeof(*took), compare);
	printf("%.0f %.0f\n", took[n / 2], took[n * 9 / 10]);
	free(took);
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
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (size_t i = 0; i < n; i++)
		send(dial(), "I", 1, 0);
	puts("open");
	fflush(stdout);
	while (getchar() != EOF)
		;
}

int main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *list;
	const char *verb = argc > 1 ? argv[1] : "";
	uint64_t n = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;

	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && strcmp(verb, "serve") == 0)
		serve((uint16_t)strtoul(argv[2], NULL, 10));
	if (argc < 5 || getaddrinfo(argv[2], argv[3], &hints, &list) != 0) {
		fprintf(stderr, "usage: netload serve|up|down|latency|rate|idle ...\n");
		return 2;
	}
	memcpy(&target, list->ai_addr, list->ai_addrlen);
	target_size = list->ai_addrlen;
	if (strcmp(verb, "up") == 0 || strcmp(verb, "down") == 0)
		move(verb[0] == 'u', n);
	else if (strcmp(verb, "latency") == 0)
		latency(n);
	else if (strcmp(verb, "rate") == 0)
		rate(n, argc > 5 ? strtoul(argv[5], NULL, 10) : 8);
	else if (strcmp(verb, "idle") == 0)
		idle(n);
	return 0;
}
