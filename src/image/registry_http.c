/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_http: one HTTP request over libcurl.
 *
 * libcurl is used for transport only: it follows no redirect, knows no credentials, no cookies and
 * no .netrc, and decodes no content.  What goes where is decided in registry_client.c, so that
 * there is one place to look for where an Authorization header can end up.
 *
 * One struct http belongs to one thread.  http_stop ends the requests of all threads: the progress
 * callback sees it within a second.
 */
#include "image/registry_internal.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/mem.h"
#include "base/text.h"

enum {
	CONNECT_SECONDS = 20,
	STALL_SECONDS = 60, /* below one byte a second for this long */
	ERROR_BODY_MAX = 8 << 10,
	HEADER_VALUE_MAX = 8 << 10,
	CHALLENGES_MAX = 8,
	BUFFER_SIZE = 256 << 10,
};

struct http {
	CURL *curl;
	const struct buf *ca;
	char error[CURL_ERROR_SIZE];
};

/* A transfer that is under way. */
struct transfer {
	struct http *h;
	const struct http_request *q;
	struct http_response *resp;
	uint64_t sent;
	int failed; /* -errno of the sink or of a limit */
	struct err *e;
};

/* --- ending early ------------------------------------------------------------------------------
 */

static atomic_bool stopped;
static pthread_mutex_t stop_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t stop_cond = PTHREAD_COND_INITIALIZER;

void http_stop(void)
{
	pthread_mutex_lock(&stop_lock);
	atomic_store(&stopped, true);
	pthread_cond_broadcast(&stop_cond);
	pthread_mutex_unlock(&stop_lock);
}

void http_resume(void)
{
	atomic_store(&stopped, false);
}

bool http_stopped(void)
{
	return atomic_load(&stopped);
}

void http_wait(uint64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&stop_lock);
	while (!http_stopped() && pthread_cond_timedwait(&stop_cond, &stop_lock, &until) == 0)
		;
	pthread_mutex_unlock(&stop_lock);
}

/* --- handles -----------------------------------------------------------------------------------
 */

int http_global_init(struct err *e)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(e, ERR_SYSTEM, -EIO, "registry: libcurl cannot be used");
	return 0;
}

struct http *http_new(const struct buf *ca)
{
	struct http *h = xcalloc(1, sizeof(*h));

	h->curl = curl_easy_init();
	if (!h->curl)
		mem_oom();
	h->ca = ca;
	return h;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	curl_easy_cleanup(h->curl);
	free(h);
}

void http_response_clear(struct http_response *r)
{
	free(r->content_type);
	free(r->digest);
	free(r->location);
	free(r->content_range);
	strv_free(&r->challenges);
	buf_free(&r->body);
	*r = (struct http_response){ 0 };
}

/* --- the answer --------------------------------------------------------------------------------
 */

static void take_status(struct transfer *t)
{
	long status = 0;

	/* A new head: the one before was "100 Continue" or a proxy's. */
	http_response_clear(t->resp);
	if (curl_easy_getinfo(t->h->curl, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK)
		t->resp->status = status;
}

static void set_once(char **slot, const char *value)
{
	free(*slot);
	*slot = xstrdup(value);
}

static void take_header(struct http_response *r, const char *name, const char *value)
{
	uint64_t seconds;

	if (strcasecmp(name, "content-type") == 0)
		set_once(&r->content_type, value);
	else if (strcasecmp(name, "docker-content-digest") == 0)
		set_once(&r->digest, value);
	else if (strcasecmp(name, "location") == 0)
		set_once(&r->location, value);
	else if (strcasecmp(name, "content-range") == 0)
		set_once(&r->content_range, value);
	else if (strcasecmp(name, "www-authenticate") == 0 && r->challenges.n < CHALLENGES_MAX)
		strv_add(&r->challenges, value);
	else if (strcasecmp(name, "retry-after") == 0 && text_u64(value, UINT32_MAX, &seconds) == 0)
		r->retry_after = seconds;
}

static size_t on_header(char *bytes, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	auto_free char *line = NULL;
	size_t len = size * n;
	char *colon, *value, *end;

	if (len > HEADER_VALUE_MAX)
		return len; /* none that we read is as long */
	line = xstrndup(bytes, len);
	if (text_starts(line, "HTTP/")) {
		take_status(t);
		return len;
	}
	colon = strchr(line, ':');
	if (!colon)
		return len;
	*colon = '\0';
	value = colon + 1 + strspn(colon + 1, " \t");
	end = value + strlen(value);
	while (end > value && strchr(" \t\r\n", end[-1]))
		*--end = '\0';
	take_header(t->resp, line, value);
	return len;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * n;
	bool good = t->resp->status >= 200 && t->resp->status < 300;
	size_t max = good ? t->q->max : ERROR_BODY_MAX;

	if (good && t->q->sink) {
		t->failed = t->q->sink(t->resp, bytes, len, t->q->arg, t->e);
		return t->failed < 0 ? 0 : len;
	}
	if (len > max - t->resp->body.len) {
		if (good) {
			t->failed =
				err_set(t->e, ERR_INPUT, -EFBIG,
					"the answer is larger than the %zu KiB that are allowed",
					max >> 10);
			return 0;
		}
		buf_add(&t->resp->body, bytes, max - t->resp->body.len);
		return len;
	}
	buf_add(&t->resp->body, bytes, len);
	return len;
}

static size_t on_read(char *out, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	ssize_t got = pread(t->q->body_fd, out, size * n, (off_t)t->sent);

	if (got < 0)
		return CURL_READFUNC_ABORT;
	t->sent += (uint64_t)got;
	if (t->q->sent)
		t->q->sent(t->sent, t->q->arg);
	return (size_t)got;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	(void)arg;
	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return http_stopped() ? 1 : 0;
}

/* --- the request -------------------------------------------------------------------------------
 */

static void add_header(struct curl_slist **list, const char *name, const char *value)
{
	auto_free char *line = value ? xasprintf("%s: %s", name, value) : NULL;
	struct curl_slist *more;

	if (!line)
		return;
	more = curl_slist_append(*list, line);
	if (!more)
		mem_oom();
	*list = more;
}

static struct curl_slist *headers(const struct http_request *q)
{
	struct curl_slist *list = NULL;

	add_header(&list, "Authorization", q->authorization);
	add_header(&list, "Accept", q->accept);
	add_header(&list, "Content-Type", q->content_type);
	if (q->from > 0) {
		auto_free char *range = xasprintf("bytes=%llu-", (unsigned long long)q->from);

		add_header(&list, "Range", range);
	}
	/* Waiting for "100 Continue" costs a second where it is not known. */
	if (q->body || q->body_fd >= 0)
		add_header(&list, "Expect", "");
	return list;
}

static void set_transport(CURL *c, struct transfer *t)
{
	struct curl_blob ca;

	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->h->error);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(c, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "ward/" WARD_VERSION);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, (long)BUFFER_SIZE);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	if (t->h->ca && t->h->ca->len > 0) {
		ca = (struct curl_blob){ .data = t->h->ca->data,
					 .len = t->h->ca->len,
					 .flags = CURL_BLOB_NOCOPY };
		curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &ca);
	}
}

static void set_body(CURL *c, struct transfer *t)
{
	const struct http_request *q = t->q;

	if (q->body) {
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(q->body));
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, q->body);
	} else if (q->body_fd >= 0) {
		curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read);
		curl_easy_setopt(c, CURLOPT_READDATA, t);
		curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->body_size);
	} else if (strcmp(q->method, "HEAD") == 0) {
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	} else if (strcmp(q->method, "GET") != 0) {
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, "");
	}
	if (strcmp(q->method, "HEAD") != 0)
		curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, q->method);
}

/* --- failures ----------------------------------------------------------------------------------
 */

static const struct {
	CURLcode curl;
	int code;
	const char *what;
} failures[] = {
	{ CURLE_COULDNT_RESOLVE_HOST, -EHOSTUNREACH, "its name cannot be resolved" },
	{ CURLE_COULDNT_RESOLVE_PROXY, -EHOSTUNREACH, "the proxy's name cannot be resolved" },
	{ CURLE_COULDNT_CONNECT, -ECONNREFUSED, "it cannot be reached" },
	{ CURLE_PEER_FAILED_VERIFICATION, -EKEYREJECTED, "its certificate is not trusted" },
	{ CURLE_SSL_CONNECT_ERROR, -EPROTO, "no TLS connection can be made" },
	{ CURLE_OPERATION_TIMEDOUT, -EAGAIN, "no answer in time" },
	{ CURLE_PARTIAL_FILE, -EAGAIN, "the connection broke" },
	{ CURLE_GOT_NOTHING, -EAGAIN, "the connection broke" },
	{ CURLE_SEND_ERROR, -EAGAIN, "the connection broke" },
	{ CURLE_RECV_ERROR, -EAGAIN, "the connection broke" },
	{ CURLE_HTTP2, -EAGAIN, "the connection broke" },
	{ CURLE_HTTP2_STREAM, -EAGAIN, "the connection broke" },
};

static int failure(const struct transfer *t, CURLcode code)
{
	auto_buf detail = BUF_INIT;

	if (t->failed < 0)
		return t->failed;
	if (http_stopped())
		return err_set(t->e, ERR_SYSTEM, -ECANCELED, "stopped");
	text_escape(&detail, t->h->error, strlen(t->h->error), 200);
	for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
		if (failures[i].curl == code)
			return err_set(t->e, ERR_HOST, failures[i].code, "%s (%s)",
				       failures[i].what, buf_str(&detail));
	}
	return err_set(t->e, ERR_HOST, -EIO, "the request failed (%s)",
		       detail.len > 0 ? buf_str(&detail) : curl_easy_strerror(code));
}

int http_perform(struct http *h, const struct http_request *q, struct http_response *ret,
		 struct err *e)
{
	struct err mine = ERR_INIT;
	struct transfer t = { .h = h, .q = q, .resp = ret, .e = e ? e : &mine };
	struct curl_slist *list = headers(q);
	CURLcode code;

	http_response_clear(ret);
	h->error[0] = '\0';
	curl_easy_reset(h->curl); /* connections stay */
	set_transport(h->curl, &t);
	set_body(h->curl, &t);
	curl_easy_setopt(h->curl, CURLOPT_URL, q->url);
	curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, list);
	curl_easy_setopt(h->curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(h->curl, CURLOPT_HEADERDATA, &t);
	curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, &t);
	code = curl_easy_perform(h->curl);
	curl_slist_free_all(list);
	return code == CURLE_OK ? 0 : failure(&t, code);
}

/* --- URLs --------------------------------------------------------------------------------------
 */

int http_resolve(const char *base, const char *location, char **ret, struct err *e)
{
	CURLU *u = curl_url();
	char *text = NULL;
	int r = 0;

	if (!u)
		mem_oom();
	if (curl_url_set(u, CURLUPART_URL, base, 0) != CURLUE_OK ||
	    curl_url_set(u, CURLUPART_URL, location, CURLU_DISALLOW_USER) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_URL, &text, 0) != CURLUE_OK ||
	    !(text_starts(text, "https://") || text_starts(text, "http://")))
		r = err_set(e, ERR_INPUT, -EINVAL, "it redirects to what is no address");
	else
		*ret = xstrdup(text);
	curl_free(text);
	curl_url_cleanup(u);
	return r;
}

char *http_escape(const char *s)
{
	char *escaped = curl_easy_escape(NULL, s, 0);
	char *copy;

	if (!escaped)
		mem_oom();
	copy = xstrdup(escaped);
	curl_free(escaped);
	return copy;
}
