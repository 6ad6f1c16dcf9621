/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: what people and programs are told: records of connections, and our own HTTP answers.
 *
 * Names in records were chosen by the box: those that are not canonical arrive escaped and cut off.
 * A record is one JSON object on one line, written with one write(2) to a file opened for
 * appending, so that records of several writers cannot mix.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/wire.h"
#include "net/net_internal.h"

static void set_time(struct json *j)
{
	struct timespec ts;
	char seconds[32], full[48];

	clock_gettime(CLOCK_REALTIME, &ts);
	text_rfc3339(ts.tv_sec, seconds);
	snprintf(full, sizeof(full), "%.19s.%03dZ", seconds, (int)(ts.tv_nsec / 1000000));
	json_set_string(j, "time", full);
}

static void set_address(struct json *j, const struct sockaddr *addr)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (addr != NULL && addr->sa_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)addr)->sin_addr,
			  text, sizeof(text));
	else if (addr != NULL && addr->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr,
			  text, sizeof(text));
	json_set(j, "address", text[0] != '\0' ? json_string(text) : NULL);
}

/* A full disk must not stop the box: the record is lost, the connection was decided. */
static void put_line(struct proxy *p, const struct buf *line)
{
	if (p->log_bytes + line->len <= 2 * (uint64_t)LOG_BYTES_MAX &&
	    write(p->log, line->data, line->len) > 0)
		p->log_bytes += line->len;
	if (p->log_bytes < LOG_BYTES_MAX || p->log_full)
		return;
	p->log_full = wire_send(p->wire, PROXY_WIRE_LOG_FULL, 0, NULL, 0, NULL, 0) == 0;
}

static struct json *program_json(const struct program *program)
{
	struct json *j;

	if (program == NULL || program->pid == 0)
		return NULL;
	j = json_object();
	json_set_uint(j, "pid", program->pid);
	json_set(j, "exe", json_string_n(program->exe, program->exe_len));
	return j;
}

void log_write(struct proxy *p, struct json *record, const struct program *program)
{
	struct buf line = BUF_INIT;

	json_set(record, "program", program_json(program));
	json_write(record, false, &line);
	if (line.len == 0 || line.data[line.len - 1] != '\n')
		buf_putc(&line, '\n');
	put_line(p, &line);
	buf_free(&line);
}

void log_record(struct proxy *p, const struct record *r)
{
	struct json *j;

	if (p->log < 0)
		return;
	j = json_object();
	set_time(j);
	json_set_string(j, "entry", r->what);
	json_set_string(j, "host", r->host);
	if (r->port != 0)
		json_set_uint(j, "port", r->port);
	set_address(j, r->addr);
	json_set_string(j, "verdict", r->verdict);
	json_set_string(j, "rule", r->rule);
	json_set_string(j, "origin", r->origin);
	json_set_string(j, "reason", r->reason);
	if (r->via != NULL)
		json_set_string(j, "via", r->via);
	json_set_uint(j, "bytes_up", r->bytes_up);
	json_set_uint(j, "bytes_down", r->bytes_down);
	json_set_uint(j, "duration_ms", r->duration_ms);
	if (r->ask != NULL) {
		program_record(r->ask, j);
		return;
	}
	log_write(p, j, r->program);
	json_unref(j);
}

void log_target(const struct policy_host *host, uint16_t port, struct buf *out)
{
	bool v6 = host->kind == POLICY_HOST_V6;

	buf_printf(out, "%s%s%s:%u", v6 ? "[" : "", host->name, v6 ? "]" : "", (unsigned)port);
}

static const char *status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = {
		{ 400, "Bad Request" },	       { 403, "Forbidden" },
		{ 405, "Method Not Allowed" }, { 408, "Request Timeout" },
		{ 417, "Expectation Failed" }, { 431, "Request Header Fields Too Large" },
		{ 502, "Bad Gateway" },	       { 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (texts[i].status == status)
			return texts[i].text;
	}
	return "Error";
}

static void json_body(const struct reply *r, struct buf *body)
{
	struct json *j = json_object();

	json_set_string(j, "error", r->error);
	if (r->target != NULL)
		json_set_string(j, "target", r->target);
	json_set_string(j, "message", r->message);
	json_set_string(j, "rule", r->rule);
	if (r->hint != NULL && r->hint[0] != '\0')
		json_set_string(j, "hint", r->hint);
	json_write(j, true, body);
	json_unref(j);
}

/* "ward: WHAT: WHY", as on the command line: it is read by people and by agents. */
static void text_body(const struct reply *r, struct buf *body)
{
	buf_printf(body, "ward: %s%s%s: %s\n", r->error, r->target != NULL ? ": " : "",
		   r->target != NULL ? r->target : "", r->message);
	if (r->status == 403)
		buf_printf(body, "rule: %s\n", r->rule[0] != '\0' ? r->rule : "no rule");
	if (r->hint != NULL && r->hint[0] != '\0')
		buf_printf(body, "hint: %s\n", r->hint);
}

void log_reply(const struct reply *r, struct buf *out)
{
	struct buf body = BUF_INIT;

	if (r->json)
		json_body(r, &body);
	else
		text_body(r, &body);
	buf_printf(out, "HTTP/1.1 %d %s\r\n", r->status, status_text(r->status));
	buf_printf(out, "Content-Type: %s\r\n",
		   r->json ? "application/json" : "text/plain; charset=utf-8");
	buf_printf(out, "Content-Length: %zu\r\n", body.len);
	buf_printf(out, "Connection: %s\r\n", r->keep ? "keep-alive" : "close");
	if (r->status == 403 && r->target != NULL)
		buf_printf(out, "X-Ward-Denied: %s\r\n", r->target);
	buf_puts(out, "\r\n");
	if (!r->head)
		buf_add(out, body.data, body.len);
	buf_free(&body);
}
